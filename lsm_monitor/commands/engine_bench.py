"""``lsm-engines bench``: pictures per second, and how many cameras that is."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import av
from av.codec.context import ThreadType
from av.video.reformatter import VideoReformatter

from lsm_engines import EngineError, EngineRequest
from lsm_engines.benchmark import Case, Row, count_flops, measure
from lsm_engines.choose import Contender
from lsm_engines.machine import peak_flops
from lsm_engines.plans import PlanStore
from lsm_monitor.commands.engine_parts import Parts, Ready, opened
from lsm_monitor.inference.probes import graph_inputs
from lsm_monitor.model.preprocess import ImageArray
from lsm_monitor.types import CameraId, Frame, FrameStamp

CAPACITY_FILE = "capacity.json"


@dataclass(frozen=True, slots=True)
class Bench:
    """What was measured.

    Attributes:
        rows: In the order of contenders, batches and scopes.
        rejected: Why a contender was not measured, by its name.
        peak_shares: For each row, its share of what PyTorch's matrix product reaches here in
            the same arithmetic; ``None`` where there is no such product.
    """

    rows: Sequence[Row]
    rejected: Mapping[str, str]
    peak_shares: Sequence[float | None]

    @property
    def best(self) -> Row:
        """Fastest row from picture to mask; there must be one."""
        whole = [row for row in self.rows if row.scope == "model"]
        return max(whole, key=lambda row: row.images_per_second)


def bench_engines(
    parts: Parts,
    contenders: Sequence[Contender],
    picture: ImageArray,
    *,
    batches: Sequence[int],
    request: EngineRequest,
    seconds: float,
    plans: PlanStore,
    progress: Callable[[str], None],
) -> Bench:
    """Measure the encoder and the whole model on every contender, by turns.

    Args:
        parts: Whose graphs.
        contenders: What to measure.
        picture: (H, W, 3) uint8 RGB, what the cameras send.
        batches: Pictures per call.
        request: Device and threads.
        seconds: How long to measure each contender with each batch and scope.
        plans: Where backends keep what they compile.
        progress: Told in a line what is done.
    """
    request = dataclasses.replace(request, max_batch=max(batches))
    rejected: dict[str, str] = {}
    with ExitStack() as stack:
        runs: dict[Case, Callable[[], object]] = {}
        for contender in contenders:
            progress(f"building {contender}")
            try:
                ready = stack.enter_context(opened(parts, contender, request, plans))
            except (EngineError, ImportError, OSError) as exc:
                rejected[str(contender)] = str(exc)
                continue
            for batch in batches:
                runs |= dict(_runs(parts, ready, picture, batch))
        if runs:
            progress(f"measuring for {seconds * len(runs):.0f} s")
        rows = measure(runs, seconds=seconds)
    return Bench(rows, rejected, _peak_shares(parts, rows))


def key_frame_cost_s(coded: Sequence[bytes]) -> float:
    """Return the CPU time from a coded key frame to RGB, in seconds: the median.

    Args:
        coded: H.264 key frames, Annex B, each with its parameter sets.
    """
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)  # noqa: S101 - H.264 is video
    decoder.thread_type = ThreadType.NONE  # as the cameras' threads decode
    reformatter = VideoReformatter()
    costs_s = []
    for data in coded:
        started_s = time.thread_time()
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
        for frame in frames:
            reformatter.reformat(frame, format="rgb24").to_ndarray()
        decoder.flush_buffers()
        costs_s.append(time.thread_time() - started_s)
    return sorted(costs_s)[len(costs_s) // 2]


def write_capacity(
    folder: Path, row: Row, *, machine: str, bundle: str, measured: datetime
) -> Path:
    """Write what ``lsm-monitor check`` compares the cameras with; return the file.

    Raises:
        OSError: It cannot be written.
    """
    capacity = {
        "pictures_per_second": row.images_per_second,
        "scope": row.scope,
        "measured": measured.isoformat(timespec="seconds"),
        "machine": machine,
        "bundle": bundle,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CAPACITY_FILE
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(capacity) + "\n")
    fresh.replace(path)
    return path


def _runs(
    parts: Parts, ready: Ready, picture: ImageArray, batch: int
) -> Iterator[tuple[Case, Callable[[], object]]]:
    """Yield what is measured of one contender with one batch."""
    spec = ready.encoder.spec
    tensors = graph_inputs(parts.model, [picture] * batch)
    inputs = [tensors[name].to(spec.device) for name in parts.encoder.inputs]
    encoder = Case(
        spec.backend,
        spec.device,
        spec.precision,
        batch,
        parts.model.preprocessor.input_size_px,
        "encoder",
    )
    stamp = FrameStamp(CameraId("bench"), 0, 0, None, datetime.now(UTC), 0.0)
    frames = [Frame(stamp, picture)] * batch
    # The copy to the CPU waits for a device that works on by itself.
    yield encoder, lambda: [each.cpu() for each in ready.encoder.run(*inputs)]
    yield dataclasses.replace(encoder, scope="model"), lambda: ready.segmenter.segment(frames)


def _peak_shares(parts: Parts, rows: Sequence[Row]) -> list[float | None]:
    encoder_flops = count_flops(parts.encoder)
    flops = {
        "encoder": encoder_flops,
        "model": encoder_flops + (0 if parts.head is None else count_flops(parts.head)),
    }
    kinds = dict.fromkeys((row.device, row.precision) for row in rows)
    peaks = {kind: peak_flops(*kind) for kind in kinds}
    return [
        None if peak is None else flops[row.scope] * row.images_per_second / peak
        for row in rows
        for peak in [peaks[row.device, row.precision]]
    ]
