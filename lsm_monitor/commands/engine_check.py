"""``lsm-engines check``: does every backend see what PyTorch sees, on pictures?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import torch

from lsm_engines import EngineError, EngineRequest
from lsm_engines.contest import Contender
from lsm_engines.parity import OutputError, compare, find_fault
from lsm_engines.plans import PlanStore
from lsm_monitor.commands.engine_parts import Parts, Ready, opened
from lsm_monitor.errors import InferenceError
from lsm_monitor.inference.inputs import GraphInputs
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.model.preprocess import ImageArray
from lsm_monitor.types import CameraId, Frame, FrameStamp

MIN_IOU = 0.99
"""Smallest agreement of the masks, over the pixels of all pictures."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found about one backend with one kind of arithmetic.

    Errors are in standard deviations of PyTorch's output, the largest of all pictures: the
    mean error, and that of the worst value. What could not be measured is ``None``.

    Attributes:
        backend: Name of the backend.
        precision: Its arithmetic.
        embedding_error: Mean error of the encoder's maps.
        embedding_error_max: That of the worst value.
        logits_error: Mean error of the head's logits, given PyTorch's maps.
        logits_error_max: That of the worst value.
        iou: Intersection over union of its water and PyTorch's, over the pixels of all
            pictures; 1 where neither sees any.
        iou_worst: That of the worst picture.
        fault: Why it must not be used; ``None`` when it may.
    """

    backend: str
    precision: str | None
    embedding_error: float | None = None
    embedding_error_max: float | None = None
    logits_error: float | None = None
    logits_error_max: float | None = None
    iou: float | None = None
    iou_worst: float | None = None
    fault: str | None = None


@dataclass(slots=True)
class _Tally:
    """What one contender did so far."""

    ready: Ready
    maps: list[OutputError] = field(default_factory=list)
    logits: list[OutputError] = field(default_factory=list)
    pixels: list[tuple[int, int]] = field(default_factory=list)  # intersection, union
    fault: str | None = None


def check_engines(
    parts: Parts,
    contenders: Sequence[Contender],
    pictures: Iterator[tuple[str, ImageArray]],
    *,
    request: EngineRequest,
    plans: PlanStore,
    progress: Callable[[str], None],
) -> list[Verdict]:
    """Compare every contender with PyTorch in float32 on the same device's pictures.

    Args:
        parts: Whose graphs.
        contenders: Who is judged.
        pictures: Name and (H, W, 3) uint8 RGB each; taken one by one.
        request: Device and threads; batches hold one picture.
        plans: Where backends keep what they compile.
        progress: Told in a line what is done.
    """
    verdicts: list[Verdict] = []
    with ExitStack() as stack:
        reference = EngineRequest("cpu", request.threads)
        torch_fp32 = stack.enter_context(
            opened(parts, Contender("torch", "fp32"), reference, plans)
        )
        tallies = []
        for contender in contenders:
            progress(f"building {contender}")
            try:
                ready = stack.enter_context(opened(parts, contender, request, plans))
            except (EngineError, ImportError, OSError) as exc:
                verdicts.append(Verdict(contender.backend, contender.precision, fault=str(exc)))
            else:
                tallies.append(_Tally(ready))
        for name, picture in pictures:
            progress(name)
            _judge(parts, torch_fp32, tallies, picture)
        verdicts += [_verdict(tally) for tally in tallies]
    return verdicts


def _judge(
    parts: Parts, reference: Ready, tallies: Sequence[_Tally], picture: ImageArray
) -> None:
    """Add one picture to every tally."""
    graphs = parts.graphs
    tensors = GraphInputs(graphs.model).of([graphs.model.preprocessor.resize(picture)])
    encoder_inputs = [tensors[name] for name in graphs.encoder.inputs]
    maps = reference.engines.encoder.run(*encoder_inputs)
    head_inputs: list[torch.Tensor] = []
    logits: tuple[torch.Tensor, ...] = ()
    if graphs.head is not None and reference.engines.head is not None:
        tensors |= dict(zip(graphs.encoder.outputs, maps, strict=True))
        head_inputs = [tensors[name] for name in graphs.head.inputs]
        logits = reference.engines.head.run(*head_inputs)
    water = _water(reference.segmenter, picture)
    for tally in tallies:
        ready = tally.ready
        try:
            tally.maps += compare(
                graphs.encoder.outputs, ready.engines.encoder.run(*encoder_inputs), maps
            )
            if ready.engines.head is not None:
                tally.logits += compare(
                    ("logits",), ready.engines.head.run(*head_inputs), logits
                )
            seen = _water(ready.segmenter, picture)
        except (EngineError, InferenceError) as exc:
            tally.fault = str(exc)
        else:
            tally.pixels.append((int((seen & water).sum()), int((seen | water).sum())))


def _water(segmenter: Segmenter, picture: ImageArray) -> npt.NDArray[np.bool_]:
    stamp = FrameStamp(CameraId("check"), 0, 0, None, datetime.now(UTC), 0.0)
    (mask,) = segmenter.segment([Frame(stamp, picture)])
    return mask.probability >= mask.threshold


def _verdict(tally: _Tally) -> Verdict:
    spec = tally.ready.engines.encoder.spec
    iou = _iou(sum(each[0] for each in tally.pixels), sum(each[1] for each in tally.pixels))
    fault = tally.fault or find_fault(tally.maps, spec.precision)
    if tally.ready.engines.head is not None:
        fault = fault or find_fault(tally.logits, tally.ready.engines.head.spec.precision)
    if iou < MIN_IOU:
        fault = fault or f"the IoU of its masks is {iou:.4f}, {MIN_IOU:g} is asked for"
    return Verdict(
        backend=spec.backend,
        precision=spec.precision,
        embedding_error=_largest([each.mean_relative for each in tally.maps]),
        embedding_error_max=_largest([each.max_relative for each in tally.maps]),
        logits_error=_largest([each.mean_relative for each in tally.logits]),
        logits_error_max=_largest([each.max_relative for each in tally.logits]),
        iou=round(iou, 5),
        iou_worst=round(min((_iou(*each) for each in tally.pixels), default=1.0), 5),
        fault=fault,
    )


def _iou(intersection: int, union: int) -> float:
    return 1.0 if union == 0 else intersection / union


def _largest(errors: Sequence[float]) -> float | None:
    largest = max(errors, default=math.inf)
    return float(f"{largest:.2g}") if math.isfinite(largest) else None
