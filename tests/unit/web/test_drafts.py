from __future__ import annotations

from pathlib import Path

from lsm_monitor.web.drafts import Draft, Drafts
from tests.fakes import FakeClock


def draft_of(owner: str, camera_id: str = "bridge") -> Draft:
    return Draft(camera_id, owner, Path("monitor.yaml"), "digest", {})


def test_of_too_many_drafts_the_oldest_goes(clock: FakeClock) -> None:
    drafts = Drafts(clock)
    tokens = [drafts.add(draft_of(f"owner {i}")) for i in range(65)]
    assert drafts.find(tokens[0], camera_id="bridge", owner="owner 0") is None
    assert drafts.find(tokens[1], camera_id="bridge", owner="owner 1") is not None
    assert len(set(tokens)) == 65


def test_a_newer_draft_of_the_same_camera_replaces_only_ones_own(clock: FakeClock) -> None:
    drafts = Drafts(clock)
    first = drafts.add(draft_of("ann"))
    theirs = drafts.add(draft_of("bob"))
    elsewhere = drafts.add(draft_of("ann", "quay"))
    second = drafts.add(draft_of("ann"))
    assert drafts.find(first, camera_id="bridge", owner="ann") is None
    assert drafts.find(second, camera_id="bridge", owner="ann") is not None
    assert drafts.find(theirs, camera_id="bridge", owner="bob") is not None
    assert drafts.find(elsewhere, camera_id="quay", owner="ann") is not None
