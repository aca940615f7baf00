"""``lsm-engines bench``: pictures per second, and how many cameras that is."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import av
from av.codec.context import ThreadType
from av.video.reformatter import VideoReformatter

from lsm_engines import EngineError, EngineRequest
from lsm_engines.benchmark import Case, Row, count_flops, measure
from lsm_engines.contest import Contender
from lsm_engines.machine import peak_flops, usable_cores
from lsm_engines.plans import PlanStore
from lsm_monitor.commands.engine_parts import Parts, Ready, opened
from lsm_monitor.inference.capacity import INTERVALS_S, cameras_carried, with_decoding
from lsm_monitor.inference.inputs import GraphInputs
from lsm_monitor.model.preprocess import ImageArray
from lsm_monitor.types import CameraId, Frame, FrameStamp


@dataclass(frozen=True, slots=True)
class Bench:
    """What was measured.

    Attributes:
        rows: In the order of contenders, batches and scopes.
        rejected: Why a contender was not measured, by its name.
        peak_shares: For each row, its share of what PyTorch's matrix product reaches here in
            the same arithmetic.
        key_frame_s: Time of a core for decoding a key frame.
    """

    rows: Sequence[Row]
    rejected: Mapping[str, str]
    peak_shares: Sequence[float]
    key_frame_s: float

    def carried(self, row: Row) -> float:
        """Return pictures per second from key frame to mask, for a row of the whole model."""
        return with_decoding(
            row.images_per_second,
            row.device,
            key_frame_s=self.key_frame_s,
            cores=usable_cores(),
        )

    @property
    def best(self) -> Mapping[str, float]:
        """Pictures per second from key frame to mask, by engine, the fastest first."""
        rates: dict[str, float] = {}
        for row in self.rows:
            if row.scope == "model":
                name = f"{row.backend}-{row.precision}"
                rates[name] = max(self.carried(row), rates.get(name, 0.0))
        return dict(sorted(rates.items(), key=lambda item: -item[1]))

    def as_json(self) -> list[dict[str, object]]:
        """Return what ``lsm-engines bench --json`` prints."""
        return [
            {
                **dataclasses.asdict(row),
                "peak_share": round(share, 3),
                "cameras": {
                    str(interval_s): cameras_carried(
                        self.carried(row), interval_s, cores=usable_cores()
                    )
                    for interval_s in INTERVALS_S
                }
                if row.scope == "model"
                else None,
            }
            for row, share in zip(self.rows, self.peak_shares, strict=True)
        ]


def bench_engines(
    parts: Parts,
    contenders: Sequence[Contender],
    picture: ImageArray,
    key_frames: Sequence[bytes],
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
        picture: (H, W, 3) uint8 RGB, as a camera sends it.
        key_frames: See :func:`key_frame_cost_s`.
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
    return Bench(rows, rejected, _peak_shares(parts, rows), key_frame_cost_s(key_frames))


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


def _runs(
    parts: Parts, ready: Ready, picture: ImageArray, batch: int
) -> Iterator[tuple[Case, Callable[[], object]]]:
    """Yield what is measured of one contender with one batch."""
    spec = ready.engines.encoder.spec
    graphs = parts.graphs
    resized = graphs.model.preprocessor.resize(picture)
    tensors = GraphInputs(graphs.model).of([resized] * batch)
    inputs = [tensors[name].to(spec.device) for name in graphs.encoder.inputs]
    encoder = Case(
        spec.backend,
        spec.device,
        spec.precision,
        batch,
        graphs.model.preprocessor.input_size_px,
        "encoder",
    )
    stamp = FrameStamp(CameraId("bench"), 0, 0, None, datetime.now(UTC), 0.0)
    frames = [Frame(stamp, picture)] * batch
    # The copy to the CPU waits for a device that works on by itself.
    yield encoder, lambda: [each.cpu() for each in ready.engines.encoder.run(*inputs)]
    yield dataclasses.replace(encoder, scope="model"), lambda: ready.segmenter.segment(frames)


def _peak_shares(parts: Parts, rows: Sequence[Row]) -> list[float]:
    graphs = parts.graphs
    encoder_flops = count_flops(graphs.encoder)
    flops = {
        "encoder": encoder_flops,
        "model": encoder_flops + (0 if graphs.head is None else count_flops(graphs.head)),
    }
    kinds = dict.fromkeys((row.device, row.precision) for row in rows)
    peaks = {kind: peak_flops(*kind) for kind in kinds}
    return [
        flops[row.scope] * row.images_per_second / peaks[row.device, row.precision]
        for row in rows
    ]
