"""Another model while the daemon runs: loaded and tried off the hot path, then handed over.

It is part of a reload. A bundle that is missing, damaged, or does not run here refuses the new
configuration as a whole, like any other mistake in it, and the model before stays in use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lsm_monitor.config.models import CameraConfig, ModelConfig
from lsm_monitor.errors import BundleError, ConfigError, InferenceError, WeightsError
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.inference.segmenter_in_use import SegmenterInUse
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.messages import Messages
from lsm_monitor.runtime.judging import check_road_shares, open_segmenter
from lsm_monitor.runtime.status_services import tell_build
from lsm_monitor.types import ModelIdentity


def ready_segmenter(model: ModelConfig, on_progress: Callable[[str], None]) -> Segmenter:
    """Open the model and run it once: no frame should wait for that.

    Raises:
        BundleError: The bundle cannot be used.
        WeightsError: The official checkpoint that it builds on cannot be used.
        ConfigError: The backend or the device is not there.
        InferenceError: The model does not run here.
    """
    segmenter = open_segmenter(model, max_batch=model.max_batch, on_progress=on_progress)
    try:
        segmenter.warm_up()
    except BaseException:
        segmenter.close()
        raise
    return segmenter


def on_exchange(
    messages: Messages, metrics: Metrics, tell: Callable[[], None]
) -> Callable[[ModelIdentity], None]:
    """Return what must happen in the moment in which another model takes over.

    Args:
        messages: Name the model in every event.
        metrics: Show it.
        tell: Says on MQTT what runs here.
    """

    def act(model: ModelIdentity) -> None:
        messages.use_model(model)
        tell_build(metrics, model)
        tell()

    return act


class ModelExchange:
    """Goes over to the bundle that a new configuration names.

    Args:
        first: The model to begin with, ready to run; closed by :meth:`close`.
        model: What it was opened with; all but ``bundle`` needs a restart.
        on_progress: Told in a line, from another thread, what is being waited for while a
            backend builds a plan.

    Attributes:
        in_use: What judges.
    """

    def __init__(
        self,
        first: Segmenter,
        model: ModelConfig,
        *,
        on_progress: Callable[[str], None],
    ) -> None:
        self.in_use = SegmenterInUse(first)
        self._model = model
        self._on_progress = on_progress
        self._newest = first
        self._prepared: tuple[str, Segmenter] | None = None

    def check(self, cameras: Mapping[str, CameraConfig]) -> None:
        """Raise ``ConfigError`` if the newest model cannot judge what ``cameras`` ask for."""
        check_road_shares(cameras, self._newest)

    def prepare(self, wanted: ModelConfig, cameras: Mapping[str, CameraConfig]) -> None:
        """Load the model that a new configuration names, if it is another one; may take long.

        Args:
            wanted: Names the bundle.
            cameras: What it must be able to judge.

        Raises:
            ConfigError: It cannot be used; the one before stays.
        """
        self._drop_prepared()
        if wanted.bundle != self._model.bundle:
            self._load(wanted)
        try:
            check_road_shares(cameras, self._prepared[1] if self._prepared else self._newest)
        except ConfigError:
            self._drop_prepared()
            raise

    def adopt(self) -> None:
        """Hand over what was prepared; the inference thread goes over between two batches."""
        if self._prepared is not None:
            (bundle, segmenter), self._prepared = self._prepared, None
            self._model = self._model.model_copy(update={"bundle": bundle})
            self._newest = segmenter
            self.in_use.offer(segmenter)

    def close(self) -> None:
        """Free all models; segmenting afterwards is not allowed."""
        self._drop_prepared()
        self.in_use.close()

    def _load(self, wanted: ModelConfig) -> None:
        model = self._model.model_copy(update={"bundle": wanted.bundle})
        try:
            self._prepared = (wanted.bundle, ready_segmenter(model, self._on_progress))
        except (BundleError, WeightsError, InferenceError, ConfigError) as exc:
            msg = f"model.bundle: {exc}; {self._model.bundle!r} stays in use"
            raise ConfigError(msg) from exc

    def _drop_prepared(self) -> None:
        if self._prepared is not None:
            (_, segmenter), self._prepared = self._prepared, None
            segmenter.close()
