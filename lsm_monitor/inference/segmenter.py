"""From frames to water masks: bundle, engine and co-adapter behind one call.

Frames of different sizes share a batch, because every frame is letterboxed to the model's
square input first. Only plain arrays go in and come out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from lsm_engines import EncoderEngine, EngineError, EngineRequest, build_engine
from lsm_monitor.errors import BundleError, ConfigError, InferenceError
from lsm_monitor.model.bundle import load_bundle
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.postprocess import (
    MASK_MAX_SIDE_PX,
    WaterRule,
    capped_hw,
    logits_to_frame,
)
from lsm_monitor.types import Frame, ModelIdentity, WaterMask


class Segmenter:
    """Finds water in frames. Not thread-safe: the inference thread owns it.

    Args:
        engine: Runs the model's encoder; closed by :meth:`close`.
        model: Everything else is run as it is, on the engine's device.
        water_rule: What counts as water.
        identity: Which model this is.
    """

    def __init__(
        self,
        *,
        engine: EncoderEngine,
        model: LsmAdapter,
        water_rule: WaterRule,
        identity: ModelIdentity,
    ) -> None:
        self._engine = engine
        self._model = model.eval()
        self._model.head.to(engine.spec.device)
        self._water_rule = water_rule
        self.identity = identity

    @classmethod
    def open(
        cls, bundle: str, *, backend: str, device: str, threads: int, max_batch: int
    ) -> Segmenter:
        """Load a bundle and make it ready to run.

        Args:
            bundle: Name of a shipped bundle, or the path of one.
            backend: Engine backend, or ``auto``.
            device: ``auto``, ``cpu`` or ``cuda``.
            threads: CPU threads; 0 leaves the choice to the backend.
            max_batch: Most frames that one engine call takes.

        Raises:
            BundleError: The bundle cannot be used.
            WeightsError: The official checkpoint that it builds on cannot be used.
            ConfigError: The backend or the device is not available.
        """
        loaded = load_bundle(bundle)
        manifest = loaded.manifest
        if manifest.classes != ("water",):
            msg = f"bundle {bundle!r} has the classes {manifest.classes}; only water is known"
            raise BundleError(msg)
        request = EngineRequest(manifest.parts.input_size_px, device, threads, max_batch)
        try:
            engine = build_engine(backend, loaded.model.encoder, request)
        except EngineError as exc:
            msg = f"model: {exc}"
            raise ConfigError(msg) from exc
        return cls(
            engine=engine,
            model=loaded.model,
            water_rule=manifest.water_rule,
            identity=ModelIdentity(
                name=manifest.name,
                version=manifest.version,
                sha256=manifest.weights.sha256,
                backend=f"{engine.spec.backend}-{engine.spec.precision}",
            ),
        )

    @property
    def device(self) -> str:
        """Where the engine runs, such as ``cpu`` or ``cuda:0``."""
        return self._engine.spec.device

    def warm_up(self) -> None:
        """Run the smallest and the largest batch once, so that no camera waits for it.

        Raises:
            InferenceError: The model does not run here.
        """
        size = self._engine.spec.image_size
        for batch in {1, self._engine.spec.max_batch}:
            self._low_res_logits(*torch.zeros(2, batch, 3, size, size))

    def segment(self, frames: Sequence[Frame]) -> list[WaterMask]:
        """Return one mask for each frame, in the same order.

        Frames may differ in size; more than ``max_batch`` are worked off in several calls of
        the engine. The masks do not share memory with each other or with later calls.

        Raises:
            InferenceError: The batch could not be segmented.
        """
        started_s = time.perf_counter()
        probabilities = [
            probability
            for start in range(0, len(frames), self._engine.spec.max_batch)
            for probability in self._segment_batch(
                frames[start : start + self._engine.spec.max_batch]
            )
        ]
        inference_ms = (time.perf_counter() - started_s) * 1000.0
        return [
            WaterMask(frame.stamp, probability, self._water_rule.threshold, inference_ms)
            for frame, probability in zip(frames, probabilities, strict=True)
        ]

    def close(self) -> None:
        """Free the engine. Calling it twice is allowed; segmenting afterwards is not."""
        self._engine.close()

    def _segment_batch(self, frames: Sequence[Frame]) -> Iterator[np.ndarray]:
        try:
            inputs = [self._model.preprocessor(frame.image) for frame in frames]
        except ValueError as exc:
            msg = f"cameras {sorted({frame.stamp.camera_id for frame in frames})}: {exc}"
            raise InferenceError(msg) from exc
        logits = self._low_res_logits(
            torch.stack([prepared.image for prepared in inputs]),
            torch.stack([prepared.equalised for prepared in inputs]),
        )
        for low_res, prepared in zip(logits, inputs, strict=True):
            size_hw = capped_hw(prepared.letterbox.frame_hw, MASK_MAX_SIDE_PX)
            probability = logits_to_frame(low_res[None], prepared.letterbox, size_hw)[0, 0]
            yield self._water_rule.apply(probability.cpu().numpy())

    def _low_res_logits(self, images: torch.Tensor, equalised: torch.Tensor) -> torch.Tensor:
        """Two (B, 3, S, S) -> (B, 1, h, w) float32, finite."""
        try:
            with torch.inference_mode():
                images, equalised = images.to(self.device), equalised.to(self.device)
                maps = self._engine.encode(images, self._model.frequencies(equalised))
                logits: torch.Tensor = self._model.head(images, maps).logits
        except (EngineError, RuntimeError) as exc:
            msg = f"model {self.identity.name}: {exc}"
            raise InferenceError(msg) from exc
        if not torch.isfinite(logits).all():
            msg = f"model {self.identity.name}: the logits are not finite"
            raise InferenceError(msg)
        return logits
