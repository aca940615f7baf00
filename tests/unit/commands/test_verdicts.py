from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from lsm_monitor.commands.labels import VideoLabels
from lsm_monitor.commands.verdicts import floods_of
from lsm_monitor.errors import ConfigError
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.outbox_open import OUTBOX_FILE
from lsm_monitor.types import EventKind, Feedback, Verdict, WaterLevel
from lsm_monitor.water.scoring import Span
from tests.unit.publish.scenes import (
    EVENT_ID,
    OPENED_AT,
    UNDERPASS,
    event_of,
    messages_of,
)

NOW = OPENED_AT + timedelta(hours=1)
STORY = (
    event_of(EventKind.OPEN, seq=1),
    event_of(EventKind.UPDATE, seq=2, level=WaterLevel.SEVERE),
    event_of(EventKind.CLOSE, seq=3, level=WaterLevel.DRY),
)
BEGAN_AT = OPENED_AT - timedelta(seconds=100)
LASTED_S = (STORY[-1].observed_at - OPENED_AT).total_seconds()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox.open(tmp_path / OUTBOX_FILE, now=NOW)
    for event in STORY:
        outbox.record(event, messages_of(event), now=NOW)
    yield outbox
    outbox.close()


def labels(*floods: tuple[float, float, str], camera: str | None = UNDERPASS) -> VideoLabels:
    return VideoLabels.model_validate(
        {
            "video": "night.mp4",
            "camera": camera,
            "began_at": BEGAN_AT,
            "floods": [{"from": a, "to": b, "level": level} for a, b, level in floods],
        }
    )


def found(tmp_path: Path, written: VideoLabels, length_s: float = 9000.0) -> list[Span]:
    return list(
        floods_of(
            written,
            length_s=length_s,
            level=WaterLevel.PONDING,
            outbox=tmp_path / OUTBOX_FILE,
        )
    )


def test_a_confirmed_flood_is_a_label_where_its_alarm_was(
    tmp_path: Path, outbox: Outbox
) -> None:
    assert found(tmp_path, labels()) == []
    outbox.add_feedback(Feedback(EVENT_ID, Verdict.TRUE_POSITIVE, "", "ann", NOW))
    assert found(tmp_path, labels()) == [Span(100.0, 100.0 + LASTED_S)]
    assert found(tmp_path, labels(), length_s=150.0) == [Span(100.0, 150.0)]
    assert found(tmp_path, labels(), length_s=50.0) == []
    assert found(tmp_path, labels(camera="other")) == []


def test_the_newest_verdict_counts_and_only_a_true_one_is_a_flood(
    tmp_path: Path, outbox: Outbox
) -> None:
    for verdict in (Verdict.TRUE_POSITIVE, Verdict.REFLECTION):
        outbox.add_feedback(Feedback(EVENT_ID, verdict, "", "ann", NOW))
    assert found(tmp_path, labels()) == []


def test_what_people_wrote_down_counts_where_it_overlaps(
    tmp_path: Path, outbox: Outbox
) -> None:
    outbox.add_feedback(Feedback(EVENT_ID, Verdict.TRUE_POSITIVE, "", "ann", NOW))
    assert found(tmp_path, labels((60.0, 300.0, "flooded"))) == [Span(60.0, 300.0)]
    assert found(tmp_path, labels((60.0, 300.0, "wet"))) == []


def test_a_label_after_the_end_of_the_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"labelled at 500 s, but .* ends at 400 s"):
        found(tmp_path, labels((500.0, 600.0, "ponding")), length_s=400.0)
