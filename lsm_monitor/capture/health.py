"""What is said about a camera's health, and when.

Told is only what changed, and only when it holds: one dark picture between two good ones is
no news, nor is a camera that hangs up and is back at the first attempt. Good news after a
fault of the *connection* is told with the first usable picture.
"""

from __future__ import annotations

from collections.abc import Callable

from lsm_monitor.capture.quality import FrameQuality
from lsm_monitor.clock import Clock
from lsm_monitor.errors import SourceEndedError, SourceError
from lsm_monitor.types import CameraHealth, CameraId, HealthCode, HealthState

# So many pictures in a row must agree before a camera with pictures changes its state.
HOLD_OFF_PICTURES = 3

_PICTURE_FAULTS = {
    HealthCode.DARK: "the picture is dark",
    HealthCode.OVEREXPOSED: "the picture is overexposed",
    HealthCode.BLANK: "the picture shows nothing: is the lens covered?",
    HealthCode.FROZEN: "the picture does not change any more",
}


class HealthReporter:
    """Turns what happens to one camera into reports.

    Args:
        camera_id: Key of the camera in the configuration.
        clock: Wall clock of the reports.
        on_health: Receives each report, on the calling thread.
        told: Newest report of whoever looked after the camera before.
    """

    def __init__(
        self,
        camera_id: CameraId,
        *,
        clock: Clock,
        on_health: Callable[[CameraHealth], None],
        told: CameraHealth | None = None,
    ) -> None:
        self._camera_id = camera_id
        self._clock = clock
        self._on_health = on_health
        self._reconnects = 0 if told is None else told.reconnects
        self._told = told
        self._pending: tuple[HealthCode, ...] = ()
        self._agreeing_pictures = 0
        self._was_delivering = False

    def starting(self) -> None:
        """Report that the camera is being opened, unless something is known about it."""
        if self._told is None:
            self._tell(HealthState.STARTING, (), "")

    def picture(self, quality: FrameQuality) -> None:
        """Note a picture."""
        self._was_delivering = True
        if quality.codes == self._pending:
            self._agreeing_pictures += 1
        else:
            self._pending, self._agreeing_pictures = quality.codes, 1
        holds = self._agreeing_pictures >= HOLD_OFF_PICTURES
        was_unusable = self._told is not None and self._told.state is HealthState.UNUSABLE
        if quality.usable and (holds or not was_unusable):
            self._tell(HealthState.USABLE, (), "")
        elif not quality.usable and holds:
            detail = ", ".join(_PICTURE_FAULTS[code] for code in quality.codes)
            self._tell(HealthState.UNUSABLE, quality.codes, detail)

    def failed(self, error: SourceError, *, is_final: bool) -> None:
        """Note that the source failed; ``is_final`` when it will not be opened again."""
        self._reconnects += not is_final
        self._agreeing_pictures = 0
        hung_up_once = isinstance(error, SourceEndedError) and self._was_delivering
        self._was_delivering = False
        if is_final or not hung_up_once:
            self._tell(HealthState.OFFLINE, (error.code,), str(error))

    def _tell(self, state: HealthState, codes: tuple[HealthCode, ...], detail: str) -> None:
        told = self._told
        if told is not None and (state, codes) == (told.state, told.codes):
            return
        since = self._clock.now() if told is None or told.state is not state else told.since
        self._told = CameraHealth(
            self._camera_id, state, codes, detail, since, self._reconnects
        )
        self._on_health(self._told)
