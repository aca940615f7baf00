"""What is said about a camera's health, and when.

Told is only what changed, and only when it holds: one dark picture between two good ones is
no news, nor is a camera that hangs up and is back at the first attempt. Good news after a
fault of the *connection* is told with the first usable picture. FROZEN is told at once: it has
been held off already, by the pictures that had to be the same.
"""

from __future__ import annotations

from collections.abc import Callable

from lsm_monitor.capture.quality import FrameQuality
from lsm_monitor.clock import Clock
from lsm_monitor.errors import SourceEndedError, SourceError
from lsm_monitor.types import CameraHealth, CameraId, HealthCode, HealthState

# So many pictures in a row must agree before a camera with pictures changes its state.
HOLD_OFF_PICTURES = 3

_WORDS = {
    HealthCode.DARK: "the picture is dark",
    HealthCode.OVEREXPOSED: "the picture is overexposed",
    HealthCode.BLANK: "the picture shows nothing: is the lens covered?",
    HealthCode.FROZEN: "the picture does not change any more",
    HealthCode.BLURRED: "the picture is blurred against what is usual",
    HealthCode.OBSTRUCTED: "a large part of the view is covered",
    HealthCode.CAMERA_MOVED: "the camera looks elsewhere: the zones do not fit",
    HealthCode.LENS_DIRTY: "there are drops or dirt on the lens",
    HealthCode.INFRARED: "the picture has no colour",
}


_WITH_PICTURES = frozenset({HealthState.USABLE, HealthState.UNUSABLE})


class _Pending:
    """What the last pictures agree on."""

    def __init__(self) -> None:
        self._codes: tuple[HealthCode, ...] = ()
        self._pictures = 0

    def add(self, codes: tuple[HealthCode, ...]) -> bool:
        """Add a picture's; return whether enough pictures in a row agree on them."""
        self._pictures = self._pictures + 1 if codes == self._codes else 1
        self._codes = codes
        return self._pictures >= HOLD_OFF_PICTURES


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
        self._codes = _Pending()
        self._notes = _Pending()
        self._told_notes: tuple[HealthCode, ...] = () if told is None else told.notes
        self._unusable_pictures = 0
        self._was_delivering = False

    def starting(self) -> None:
        """Report that the camera is being opened, unless something is known about it."""
        if self._told is None:
            self._tell(HealthState.STARTING, (), "")

    def picture(self, quality: FrameQuality) -> None:
        """Note a picture."""
        self._was_delivering = True
        codes_hold = self._codes.add(quality.codes)
        if self._notes.add(quality.notes):
            self._told_notes = quality.notes
        self._unusable_pictures = 0 if quality.usable else self._unusable_pictures + 1
        was_unusable = self._told is not None and self._told.state is HealthState.UNUSABLE
        if quality.usable and (codes_hold or not was_unusable):
            self._tell(HealthState.USABLE, (), _sentence(self._told_notes))
        # Causes that alternate are as bad as one that holds.
        fails_for_long = self._unusable_pictures >= HOLD_OFF_PICTURES and not was_unusable
        if not quality.usable and (codes_hold or fails_for_long or _is_sure(quality)):
            self._tell(HealthState.UNUSABLE, quality.codes, _sentence(quality.codes))

    def failed(self, error: SourceError, *, is_final: bool) -> None:
        """Note that the source failed; ``is_final`` when it will not be opened again."""
        self._reconnects += not is_final
        self._codes, self._notes, self._unusable_pictures = _Pending(), _Pending(), 0
        hung_up_once = isinstance(error, SourceEndedError) and self._was_delivering
        self._was_delivering = False
        if is_final or not hung_up_once:
            self._tell(HealthState.OFFLINE, (error.code,), str(error))

    def _tell(self, state: HealthState, codes: tuple[HealthCode, ...], detail: str) -> None:
        told = self._told
        notes = self._told_notes if state in _WITH_PICTURES else ()
        if told is not None and (state, codes, notes) == (told.state, told.codes, told.notes):
            return
        since = self._clock.now() if told is None or told.state is not state else told.since
        self._told = CameraHealth(
            self._camera_id, state, codes, detail, since, self._reconnects, notes
        )
        self._on_health(self._told)


def _is_sure(quality: FrameQuality) -> bool:
    return HealthCode.FROZEN in quality.codes


def _sentence(codes: tuple[HealthCode, ...]) -> str:
    return ", ".join(_WORDS[code] for code in codes)
