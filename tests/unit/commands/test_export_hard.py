"""``lsm-monitor export-hard`` on what a daemon kept: which pictures, and what of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from typer.testing import CliRunner

from lsm_monitor.cli import app
from lsm_monitor.commands import export_hard as command
from lsm_monitor.commands.export_hard import export_hard
from lsm_monitor.commands.hard_examples import Rules, candidates, pick
from lsm_monitor.errors import ConfigError
from lsm_monitor.evidence import store
from lsm_monitor.evidence.hard_frames import FOLDER
from lsm_monitor.evidence.sidecar import EvidenceKind
from lsm_monitor.evidence.store import EvidenceStore
from lsm_monitor.inference.second_opinion import Opinions, SecondOpinion
from lsm_monitor.model.bundle import Bundle, Manifest, load_bundle
from lsm_monitor.model.parts import ModelParts
from lsm_monitor.model.postprocess import logits_to_frame
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.outbox_open import OUTBOX_FILE
from lsm_monitor.types import EventKind, Feedback, Verdict
from lsm_train.weak_labels import read_weak_labels
from tests.unit.model.models import EVERYTHING, MANIFEST, lively_model
from tests.unit.publish.scenes import event_of, messages_of

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
REFLECTION, REAL, UNSEEN = UUID(int=1), UUID(int=2), UUID(int=3)
SURE = Opinions(0.0, 0.0, 0.0)


def picture(seed: int) -> bytes:
    """Return a picture with a structure of its own, as JPEG."""
    rough = np.random.default_rng(seed).integers(20, 235, (6, 8, 3), np.uint8)
    image = cv2.resize(rough, (160, 120), interpolation=cv2.INTER_CUBIC)
    return bytes(cv2.imencode(".jpg", image)[1])


def decoded(data: bytes) -> npt.NDArray[np.uint8]:
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.ascontiguousarray(bgr[..., ::-1], np.uint8)


class Judge:
    """Says of each picture what the test says; knows it by its mean brightness."""

    def __init__(self, known: Mapping[bytes, Opinions] | None = None) -> None:
        self._known = {self._key(data): said for data, said in (known or {}).items()}

    @staticmethod
    def _key(data: bytes) -> float:
        return float(decoded(data).mean())

    def of(self, image: npt.NDArray[np.uint8]) -> Opinions:
        return self._known.get(float(image.mean()), SURE)


class Kept:
    """The state folder of a daemon."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._outbox = Outbox.open(folder / OUTBOX_FILE, now=NOW)
        self._evidence = EvidenceStore(folder)
        self._evidence.open()

    def event(
        self, event_id: UUID, seq: int, kind: EventKind, data: bytes, *, blur: str = "none"
    ) -> None:
        event = event_of(kind, seq=seq, event_id=event_id)
        messages = messages_of(event)
        self._outbox.record(event, messages, now=NOON)
        about = {
            "event": json.loads(messages[0].payload),
            "blur": blur,
            "picture": {"taken_at": (NOON + timedelta(minutes=seq)).isoformat()},
            "missing": [],
        }
        self._evidence.put(event_id, seq, {EvidenceKind.RAW: data}, about)

    def doubtful(self, camera: str, name: str, data: bytes) -> Path:
        path = self.folder / FOLDER / camera / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def verdict(self, event_id: UUID, verdict: Verdict) -> None:
        assert self._outbox.add_feedback(Feedback(event_id, verdict, "", "", NOON))

    def close(self) -> None:
        self._outbox.close()


NOW = NOON + timedelta(days=1)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path / "state")
    yield kept
    kept.close()


def test_what_operators_rejected_comes_first_and_with_their_verdict(kept: Kept) -> None:
    kept.event(REFLECTION, 1, EventKind.OPEN, picture(1))
    kept.event(REAL, 1, EventKind.OPEN, picture(2))
    kept.event(REAL, 2, EventKind.CLOSE, picture(3))
    kept.event(UNSEEN, 1, EventKind.OPEN, picture(4))
    verdicts = {REFLECTION: Verdict.REFLECTION, REAL: Verdict.TRUE_POSITIVE}
    doubtful = Opinions(0.5, 0.3, 0.0)
    judge = Judge({picture(2): doubtful, picture(3): doubtful})
    picked, left_out = pick(candidates(kept.folder, verdicts), judge, Rules())
    assert [(e.candidate.event, e.candidate.verdict, e.reasons) for e in picked] == [
        ((REFLECTION, 1), Verdict.REFLECTION, ("rejected",)),
        ((REAL, 1), Verdict.TRUE_POSITIVE, ("doubt",)),
        # The flood was real, and over: the picture may show a dry road.
        ((REAL, 2), None, ("doubt",)),
    ]
    assert left_out == {"the model is sure": 1}


def test_pictures_of_which_the_models_think_differently_are_picked(kept: Kept) -> None:
    kept.doubtful("street", "a", picture(1))
    kept.doubtful("street", "b", picture(2))
    judge = Judge({picture(1): Opinions(0.0, 0.1, 0.2)})
    picked, _ = pick(candidates(kept.folder, {}), judge, Rules())
    assert [(e.candidate.camera, e.reasons) for e in picked] == [("street", ("disagreement",))]


def test_of_pictures_that_look_alike_the_hardest_is_enough_but_for_other_cameras(
    kept: Kept,
) -> None:
    image = decoded(picture(1))
    noise = np.random.default_rng(0).integers(-3, 4, image.shape)
    noisy = np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)
    again = bytes(cv2.imencode(".jpg", noisy[..., ::-1])[1])
    for camera in ("street", "square"):
        kept.doubtful(camera, "a", picture(1))
        kept.doubtful(camera, "b", again)
    judge = Judge({picture(1): Opinions(0.2, 0.0, None), again: Opinions(0.3, 0.0, None)})
    picked, left_out = pick(candidates(kept.folder, {}), judge, Rules())
    assert sorted((e.candidate.camera, e.candidate.path.stem) for e in picked) == [
        ("square", "b"),
        ("street", "b"),
    ]
    assert left_out == {"alike": 2}


def test_no_camera_gets_more_than_its_share_of_a_day(kept: Kept) -> None:
    judge = Judge({picture(i): Opinions(0.1 + i / 100, 0.0, None) for i in range(6)})
    for i in range(6):
        kept.doubtful("street", str(i), picture(i))
    picked, left_out = pick(candidates(kept.folder, {}), judge, Rules(per_camera_day=2))
    assert [e.candidate.path.stem for e in picked] == ["5", "4"]
    assert left_out == {"camera and day have enough": 4}


def test_pictures_that_show_nothing_or_were_blurred_teach_nothing(kept: Kept) -> None:
    black = bytes(cv2.imencode(".jpg", np.zeros((90, 160, 3), np.uint8))[1])
    kept.doubtful("street", "dark", black)
    kept.doubtful("street", "torn", picture(1)[:100])
    kept.event(REFLECTION, 1, EventKind.OPEN, picture(2), blur="all")
    verdicts = {REFLECTION: Verdict.REFLECTION}
    picked, left_out = pick(candidates(kept.folder, verdicts), Judge(), Rules())
    assert picked == []
    assert left_out == {"shows nothing": 1, "unreadable": 1}


def test_the_shipped_model_has_two_opinions(kept: Kept) -> None:
    del kept
    said = SecondOpinion(load_bundle("compact")).of(decoded(picture(1)))
    assert 0.0 <= said.doubt <= 1.0
    assert 0.0 <= said.water_fraction <= 1.0
    assert said.disagreement is not None
    assert 0.0 <= said.disagreement <= 1.0


def test_a_model_of_several_classes_has_two_opinions_about_water() -> None:
    parts = ModelParts.model_validate(EVERYTHING.model_dump() | {"decoder": "classwise"})
    manifest = Manifest.model_validate(
        MANIFEST
        | {"format_version": 2, "parts": parts, "classes": parts.classes}
        | {"weights": {"sha256": "0" * 64, "bytes": 1}}
    )
    model = lively_model(parts)
    image = decoded(picture(1))
    said = SecondOpinion(Bundle(manifest, model)).of(image)
    prepared = model.preprocessor(image)
    with torch.inference_mode():
        found = model(prepared.image[None], prepared.equalised[None])
    assert found.small_logits is not None
    water_index = parts.classes.index("water")
    water_of_each = (
        found.decoder_logits.softmax(1)[:, water_index : water_index + 1].logit(),
        found.small_logits,
    )
    size_hw = prepared.letterbox.resized_hw
    large, small = (
        logits_to_frame(logits, prepared.letterbox, size_hw) >= manifest.water.threshold
        for logits in water_of_each
    )
    assert said.disagreement == pytest.approx(float((large != small).float().mean()), abs=1e-3)


def _exported(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        json.loads((folder / "manifest.json").read_bytes()),
        json.loads((folder / "weak.json").read_bytes()),
    )


def test_the_export_is_what_the_trainer_reads_and_says_where_each_picture_is_from(
    kept: Kept, tmp_path: Path
) -> None:
    kept.event(REFLECTION, 1, EventKind.OPEN, picture(1))
    kept.verdict(REFLECTION, Verdict.OTHER)
    kept.verdict(REFLECTION, Verdict.REFLECTION)
    out = tmp_path / "hard"
    result = CliRunner().invoke(
        app, ["export-hard", "--state-dir", str(kept.folder), "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}: 1 pictures\n"
    manifest, weak = _exported(out)
    name = "wensan-underpass-20260701T120100000Z.jpg"
    assert weak == {"version": 1, "images": {name: {"verdict": "reflection"}}}
    (label,) = read_weak_labels(out / "weak.json", out / "frames").values()
    assert label.is_dry
    (frame,) = manifest["frames"]
    data = (out / frame["file"]).read_bytes()
    assert data == picture(1)
    assert frame["sha256"] == hashlib.sha256(data).hexdigest()
    assert (frame["event_id"], frame["seq"]) == (str(REFLECTION), 1)
    assert "rejected" in frame["reasons"]
    assert manifest["schema"] == command.SCHEMA
    assert manifest["model"]["name"] == "compact"


def test_a_daemon_that_makes_room_meanwhile_costs_its_oldest_pictures_and_not_the_export(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.event(REFLECTION, 1, EventKind.OPEN, picture(1))
    kept.event(REAL, 2, EventKind.UPDATE, picture(2))
    seen = kept.doubtful("street", "a", picture(3))
    unseen = kept.doubtful("street", "b", picture(4))
    for event_id in (REFLECTION, REAL):
        kept.verdict(event_id, Verdict.REFLECTION)

    class Slow(Judge):
        def of(self, image: npt.NDArray[np.uint8]) -> Opinions:
            if float(image.mean()) == self._key(picture(3)):
                for path in (seen, unseen, *(kept.folder / store.FOLDER / str(REAL)).iterdir()):
                    path.unlink()
            return Opinions(0.5, 0.0, None)

    monkeypatch.setattr(command, "SecondOpinion", lambda _: Slow())
    out = tmp_path / "hard"
    count, left_out = export_hard(kept.folder, out, bundle="compact", rules=Rules(), now=NOW)
    assert (count, left_out) == (1, {"gone meanwhile": 2})
    manifest, weak = _exported(out)
    assert [frame["event_id"] for frame in manifest["frames"]] == [str(REFLECTION)]
    assert manifest["left_out"] == left_out
    assert list(weak["images"]) == [path.name for path in (out / "frames").iterdir()]


def test_a_folder_with_something_in_it_is_left_alone(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="is not empty"):
        export_hard(kept.folder, tmp_path, bundle="compact", rules=Rules(), now=NOW)
