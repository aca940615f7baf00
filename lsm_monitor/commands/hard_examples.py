"""Which of the kept pictures would teach the model most.

What operators rejected comes first, then what the model doubts, or is of two minds about. Of
pictures that look alike one is enough, and no camera gets more than its share of a day.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.capture.quality import QualityRules, exposure_codes
from lsm_monitor.capture.thumbnail import TILE_PX, thumbnail
from lsm_monitor.commands import pictures
from lsm_monitor.errors import PictureError
from lsm_monitor.evidence import hard_frames, sidecar, store
from lsm_monitor.evidence.sidecar import EvidenceKind, Json
from lsm_monitor.inference.second_opinion import Opinions
from lsm_monitor.types import EventKind, Verdict

_FLOODED = frozenset({EventKind.OPEN, EventKind.UPDATE, EventKind.RESUME})
_HASH_PX = 32
_HASH_SIDE = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kept picture.

    Attributes:
        path: The file.
        camera: Key of its camera.
        taken_at: Timezone-aware UTC.
        event: ``event_id`` and ``seq`` of the event it decided, if it did.
        verdict: What an operator says that it shows; ``None``: nobody said anything about it.
    """

    path: Path
    camera: str
    taken_at: datetime
    event: tuple[UUID, int] | None = None
    verdict: Verdict | None = None

    @property
    def is_rejected(self) -> bool:
        """Whether an operator called its event a false alarm."""
        return self.verdict not in {None, Verdict.TRUE_POSITIVE}


@dataclass(frozen=True, slots=True)
class Rules:
    """What is hard enough, and how much of it is enough; shares of the picture in [0, 1].

    Attributes:
        doubt: As of this the model doubts; see :class:`Opinions`.
        disagreement: As of this it is of two minds; see there.
        alike_bits: Two pictures of a camera are alike when so few of the 64 bits of their
            perceptual hashes differ.
        per_camera_day: Most pictures of one camera and day, UTC.
    """

    doubt: float = 0.03
    disagreement: float = 0.03
    alike_bits: int = 4
    per_camera_day: int = 10


@dataclass(frozen=True, slots=True)
class Example:
    """A picture that was picked, and why: ``rejected``, ``doubt``, ``disagreement``."""

    candidate: Candidate
    reasons: tuple[str, ...]
    opinions: Opinions
    perceptual_hash: int

    @property
    def rank(self) -> tuple[bool, float]:
        """The larger, the more it teaches."""
        said = self.opinions
        return self.candidate.is_rejected, max(said.doubt, said.disagreement or 0.0)


class Opinion(Protocol):
    """What is needed of a model."""

    def of(self, image: npt.NDArray[np.uint8]) -> Opinions:
        """Return what it says about (H, W, 3) uint8 RGB."""
        ...


def candidates(state_dir: Path, verdicts: Mapping[UUID, Verdict]) -> Iterator[Candidate]:
    """Yield the pictures of events and the doubtful ones that the daemon kept.

    To look at them takes minutes: what the daemon deletes meanwhile is left out.
    """
    for path in sorted((state_dir / store.FOLDER).glob("*/*.json")):
        with contextlib.suppress(FileNotFoundError):
            yield from _of_event(path, verdicts)
    for path in sorted((state_dir / hard_frames.FOLDER).glob("*/*.jpg")):
        with contextlib.suppress(FileNotFoundError):
            taken_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            yield Candidate(path, path.parent.name, taken_at)


def _of_event(path: Path, verdicts: Mapping[UUID, Verdict]) -> Iterator[Candidate]:
    """Yield the picture of an event, if there is one that nobody has made unrecognisable."""
    raw = [file for file in sidecar.files_of(path) if file.kind is EvidenceKind.RAW]
    about = sidecar.read(path) if raw else {}
    if not raw or about.get("blur", "none") != "none":
        return
    event: Json = about["event"]
    event_id = UUID(event["event_id"])
    verdict = verdicts.get(event_id)
    # That a flood was real says nothing about the picture in which it was over.
    if verdict is Verdict.TRUE_POSITIVE and event["event_type"] not in _FLOODED:
        verdict = None
    yield Candidate(
        path.parent / raw[0].name,
        event["camera"],
        datetime.fromisoformat(about["picture"]["taken_at"]),
        (event_id, event["seq"]),
        verdict,
    )


def pick(
    found: Iterable[Candidate], opinion: Opinion, rules: Rules
) -> tuple[list[Example], Counter[str]]:
    """Return the hard examples, the hardest first, and how many were left out, by reason."""
    left_out: Counter[str] = Counter()
    hard = []
    for candidate in found:
        example = _look_at(candidate, opinion, rules, left_out.update)
        if example is not None:
            hard.append(example)
    picked: list[Example] = []
    days: Counter[tuple[str, date]] = Counter()
    for example in sorted(hard, key=lambda example: example.rank, reverse=True):
        camera, day = example.candidate.camera, example.candidate.taken_at.date()
        if any(
            (example.perceptual_hash ^ other.perceptual_hash).bit_count() <= rules.alike_bits
            for other in picked
            if other.candidate.camera == camera
        ):
            left_out["alike"] += 1
        elif days[camera, day] == rules.per_camera_day:
            left_out["camera and day have enough"] += 1
        else:
            days[camera, day] += 1
            picked.append(example)
    return picked, left_out


def _look_at(
    candidate: Candidate,
    opinion: Opinion,
    rules: Rules,
    leave_out: Callable[[Iterable[str]], None],
) -> Example | None:
    try:
        image = pictures.read_rgb(candidate.path)
    except PictureError:
        leave_out(["unreadable"])
        return None
    if min(image.shape[:2]) < TILE_PX or exposure_codes(
        thumbnail(image).tiles(), QualityRules()
    ):
        leave_out(["shows nothing"])
        return None
    said = opinion.of(image)
    reasons = [
        name
        for name, holds in (
            ("rejected", candidate.is_rejected),
            ("doubt", said.doubt >= rules.doubt),
            ("disagreement", (said.disagreement or 0.0) >= rules.disagreement),
        )
        if holds
    ]
    if not reasons:
        leave_out(["the model is sure"])
        return None
    return Example(candidate, tuple(reasons), said, _hash(image))


def _hash(image: npt.NDArray[np.uint8]) -> int:
    """Return 64 bits that change little when a picture does: pHash, the signs of its DCT."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_HASH_PX, _HASH_PX), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small.astype(np.float32))[:_HASH_SIDE, :_HASH_SIDE].ravel()
    bits = low > np.median(low[1:])
    return int("".join("1" if bit else "0" for bit in bits), 2)
