"""From frames to water masks: bundle, engines and what stands between them behind one call.

Frames of different sizes share a batch, because every frame is letterboxed to the model's
square input first. Only plain arrays go in and come out. A frame crosses to the engines'
device once, as bytes; normalisation and FFTs run there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from lsm_engines import Engine, EngineError, EngineRequest
from lsm_engines.choose import prefer_engine
from lsm_engines.plans import PlanStore
from lsm_monitor.errors import ConfigError, InferenceError
from lsm_monitor.inference.batch_times import BatchStage, BatchTimes
from lsm_monitor.inference.engines import ModelGraphs, build_engines
from lsm_monitor.inference.inputs import GraphInputs
from lsm_monitor.model.bundle import load_bundle
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.postprocess import (
    MASK_MAX_SIDE_PX,
    WaterRule,
    capped_hw,
    logits_to_frame,
    road_logits,
    to_frame,
)
from lsm_monitor.model.preprocess import Resized
from lsm_monitor.types import Frame, ModelIdentity, WaterMask


class Segmenter:
    """Finds water in frames. Not thread-safe: the inference thread owns it.

    Args:
        encoder: Runs the model's encoder graph; closed by :meth:`close`.
        head: Runs the model's head graph on the same device; closed by :meth:`close`. ``None``
            runs the model's own head in PyTorch.
        model: Makes the graphs' inputs, in PyTorch on the engines' device.
        water_rule: What counts as water.
        identity: Which model this is.
    """

    def __init__(
        self,
        *,
        encoder: Engine,
        head: Engine | None,
        model: LsmAdapter,
        water_rule: WaterRule,
        identity: ModelIdentity,
    ) -> None:
        self._encoder = encoder
        self._head = head
        self._model = model.eval()
        if head is None:
            self._model.head.to(self.device)
        self._inputs = GraphInputs(model, self.device)
        self._water_rule = water_rule
        self.identity = identity

    @classmethod
    def open(
        cls,
        bundle: str,
        *,
        backend: str,
        device: str,
        threads: int,
        max_batch: int,
        plans: PlanStore | None = None,
    ) -> Segmenter:
        """Load a bundle and make it ready to run.

        Args:
            bundle: Name of a shipped bundle, or the path of one.
            backend: Engine backend, or ``auto`` for the fastest one here. One that does not
                work gives way to PyTorch, with a warning.
            device: ``auto``, ``cpu`` or ``cuda``.
            threads: CPU threads; 0 leaves the choice to the backend.
            max_batch: Most frames that one engine call takes.
            plans: Where backends keep what they compile; ``None`` for the default folder.

        Raises:
            BundleError: The bundle cannot be used.
            WeightsError: The official checkpoint that it builds on cannot be used.
            ConfigError: The backend is not installed, or the device is not there.
        """
        loaded = load_bundle(bundle)
        manifest = loaded.manifest
        if threads > 0:  # what runs in PyTorch beside the engines counts too
            torch.set_num_threads(threads)
        try:
            engines = build_engines(
                ModelGraphs.of(loaded.model),
                prefer_engine,
                backend=backend,
                request=EngineRequest(device, threads, max_batch),
                plans=plans or PlanStore(),
            )
        except EngineError as exc:
            msg = f"model: {exc}"
            raise ConfigError(msg) from exc
        spec = engines.encoder.spec
        return cls(
            encoder=engines.encoder,
            head=engines.head,
            model=loaded.model,
            water_rule=manifest.water_rule,
            identity=ModelIdentity(
                name=manifest.name,
                version=manifest.version,
                sha256=manifest.weights.sha256,
                backend=f"{spec.backend}-{spec.precision}",
            ),
        )

    @property
    def knows_roads(self) -> bool:
        """Whether masks tell where the road is."""
        classes = self._model.head.classwise
        return classes is not None and bool(classes.road)

    @property
    def device(self) -> str:
        """Where the engines run: ``cpu`` or ``cuda``."""
        return self._encoder.spec.device

    def warm_up(self) -> None:
        """Run the smallest and the largest batch once, so that no camera waits for it.

        Raises:
            InferenceError: The model does not run here.
        """
        preprocessor = self._model.preprocessor
        size_px = preprocessor.input_size_px
        black = preprocessor.resize(np.zeros((size_px, size_px, 3), np.uint8))
        for batch in {1, self._encoder.spec.max_batch}:
            self._low_res_logits([black] * batch, BatchTimes())

    def segment(
        self, frames: Sequence[Frame], times: BatchTimes | None = None
    ) -> list[WaterMask]:
        """Return one mask for each frame, in the same order.

        Frames may differ in size; more than ``max_batch`` are worked off in several calls of
        the engine. The masks do not share memory with each other or with later calls.

        Args:
            frames: RGB.
            times: Told when each stage ends.

        Raises:
            InferenceError: The batch could not be segmented.
        """
        times = times or BatchTimes()
        max_batch = self._encoder.spec.max_batch
        seen = [
            each
            for start in range(0, len(frames), max_batch)
            for each in self._segment_batch(frames[start : start + max_batch], times)
        ]
        inference_ms = sum(times.seconds.values()) * 1000.0
        return [
            WaterMask(frame.stamp, probability, self._water_rule.threshold, inference_ms, road)
            for frame, (probability, road) in zip(frames, seen, strict=True)
        ]

    def close(self) -> None:
        """Free the engines. Calling it twice is allowed; segmenting afterwards is not."""
        self._encoder.close()
        if self._head is not None:
            self._head.close()

    def _segment_batch(
        self, frames: Sequence[Frame], times: BatchTimes
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield each frame's water probability, and where its road is, if the model knows."""
        try:
            pictures = [self._model.preprocessor.resize(frame.image) for frame in frames]
        except ValueError as exc:
            msg = f"cameras {sorted({frame.stamp.camera_id for frame in frames})}: {exc}"
            raise InferenceError(msg) from exc
        logits = self._low_res_logits(pictures, times)
        for low_res, picture in zip(logits, pictures, strict=True):
            letterbox, classes = picture.letterbox, self._model.head.classwise
            size_hw = capped_hw(letterbox.frame_hw, MASK_MAX_SIDE_PX)
            water = 0 if classes is None else classes.water_index
            logits = low_res[None, water : water + 1]
            probability = logits_to_frame(logits, letterbox, size_hw)[0, 0].cpu().numpy()
            road = None
            if classes is not None and classes.road:
                of_road = road_logits(low_res[None], classes)
                road = (to_frame(of_road, letterbox, size_hw)[0, 0] > 0.0).cpu().numpy()
            yield self._water_rule.apply(probability), road
        times.end(BatchStage.POST)

    def _low_res_logits(self, pictures: Sequence[Resized], times: BatchTimes) -> torch.Tensor:
        """Return (B, C, h, w) float32, finite: of water alone, or of each class."""
        try:
            with torch.inference_mode():
                logits = self._run(pictures, times)
        except (EngineError, RuntimeError) as exc:
            msg = f"model {self.identity.name}: {exc}"
            raise InferenceError(msg) from exc
        if not torch.isfinite(logits).all():
            msg = f"model {self.identity.name}: the logits are not finite"
            raise InferenceError(msg)
        times.end(BatchStage.DECODER)  # only now: to look at the logits is to wait for them
        return logits

    def _run(self, pictures: Sequence[Resized], times: BatchTimes) -> torch.Tensor:
        tensors = self._inputs.of(pictures)
        times.end(BatchStage.PREPROCESS)
        maps = _call(self._encoder, tensors)
        times.end(BatchStage.ENCODER)
        if self._head is None:
            head = self._model.head
            answer = head(tensors["images"], tensors["amplitude"], maps)
            logits: torch.Tensor = answer.logits
            return logits if answer.class_logits is None else answer.class_logits
        (logits,) = _call(
            self._head, tensors | dict(zip(self._encoder.spec.outputs, maps, strict=True))
        )
        return logits


def _call(engine: Engine, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return engine.run(*(tensors[name] for name in engine.spec.inputs))
