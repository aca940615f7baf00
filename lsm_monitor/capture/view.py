"""What a camera has learnt about its own view, and what is wrong with a picture by that.

A picture is held against the look of its own light and the one that the pictures before it
had, because light changes slowly. Only what is wrong by both is wrong. A light that is met for
the first time, such as the first infra-red night, is judged once it is established. It is
learnt when its edges fit the view known from other lights; or on trial, when nothing fits but
the pictures just before did, and then trusted if the first ones after it fit again.

Nothing wrong is ever learnt: however long a turned camera stays turned, its reference is the
view it had. Forgetting that is the operator's decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from lsm_monitor.capture.camera_memory import CameraMemory
from lsm_monitor.capture.detail import Change, Detail, change, detail_of
from lsm_monitor.capture.edges import edge_field, structure
from lsm_monitor.capture.lens import LensWatch
from lsm_monitor.capture.look import Light, Look, light_of
from lsm_monitor.capture.placement import Placement, Placements
from lsm_monitor.capture.stillness import Usual
from lsm_monitor.capture.thumbnail import Thumbnail
from lsm_monitor.types import HealthCode

# After so long without a picture, the light may be any.
_LIGHT_HOLDS_S: Final = 600.0
# A picture that shows less, such as a dark one, is no beginning of a reference.
_MIN_STRUCTURE: Final = 0.05
_OBSTRUCTED_FRACTION: Final = 0.4
_COVERED_FRACTION: Final = 0.7
_BLURRED_RATIO: Final = 0.7
# So many pictures must say that the camera was turned before it stays so when one says nothing.
_CERTAIN_PICTURES: Final = 3


class ViewCheck:
    """Judges the pictures of one camera in turn, and learns from the good ones.

    Args:
        memory: What was learnt before; nothing for a new camera.
    """

    def __init__(self, memory: CameraMemory) -> None:
        self._looks: dict[Light, Look] = {look.light: look for look in memory.looks}
        self._moved_pictures = _CERTAIN_PICTURES if memory.is_moved else 0
        self._lens = LensWatch()
        self._light: Light | None = None
        # The established look that the newest judged picture had, and when that was.
        self._last: Light | None = None
        self._last_at_s = 0.0
        self._trial_at_s = 0.0

    @property
    def is_lens_dirty(self) -> bool:
        """Whether parts of the picture have been soft for minutes."""
        return self._lens.is_dirty

    def light(self, thumb: Thumbnail) -> Light:
        """Return the light of the next picture."""
        self._light = light_of(thumb, self._light)
        return self._light

    def memory(self) -> CameraMemory:
        """Return what has been learnt so far."""
        return CameraMemory(
            tuple(self._looks.values()), is_moved=self._moved_pictures >= _CERTAIN_PICTURES
        )

    def usual_stillness(self, light: Light) -> Usual | None:
        """Return how still successive pictures in this light are, where that is known."""
        for each in (light, light.brighter(1), light.brighter(-1)):
            look = self._looks.get(each)
            if look is not None and look.is_established:
                return look.usual
        return None

    def learn_stillness(self, light: Light, share: float) -> None:
        """Note which share of a picture in this light stood still since the one before."""
        look = self._looks.get(light)
        if look is not None:
            self._looks[light] = look.with_still_share(share)

    def assess(self, thumb: Thumbnail, time_s: float) -> tuple[HealthCode, ...]:
        """Return what is wrong with the next picture: at most one code, the most telling.

        Args:
            thumb: The picture.
            time_s: When it was decoded, in seconds; never goes backwards.
        """
        light, detail = self.light(thumb), detail_of(thumb.luma)
        placements = Placements(edge_field(thumb.luma), light)
        if time_s - self._last_at_s > _LIGHT_HOLDS_S:
            self._last = None
        usual = self._usual_looks(light)
        placement, fitted = self._place(usual, placements)
        if self._is_moved(placement):
            self._drop_trials()
            self._last_at_s = time_s
            return (HealthCode.CAMERA_MOVED,)
        codes = self._lost(usual, detail, is_new_light=not usual and fitted is None)
        if codes:
            self._last_at_s = time_s
        elif fitted is not None:
            self._trust_trials(time_s)
            self._last, self._last_at_s = fitted, time_s
        if not codes and placement is not Placement.MISFIT:
            self._learn(placements, detail, time_s, fits=fitted is not None)
        return codes

    def _lost(
        self, usual: list[Look], detail: Detail, *, is_new_light: bool
    ) -> tuple[HealthCode, ...]:
        if is_new_light and self._last is not None:
            # The colour is gone, and every edge with it: that is no infra-red light.
            found = change(self._looks[self._last].detail, detail)
            is_covered = found is not None and found.lost_fraction >= _COVERED_FRACTION
            return (HealthCode.OBSTRUCTED,) if is_covered else ()
        return _codes_of([found for look in usual if (found := change(look.detail, detail))])

    def _is_moved(self, placement: Placement) -> bool:
        if placement in (Placement.DISPLACED, Placement.MISFIT):
            self._moved_pictures += 1
        elif placement is Placement.FITS or self._moved_pictures < _CERTAIN_PICTURES:
            self._moved_pictures = 0
        return self._moved_pictures > 0

    def _established(self) -> list[Look]:
        return [look for look in self._looks.values() if look.is_established]

    def _usual_looks(self, light: Light) -> list[Look]:
        """Return the looks that a picture in this light may have, its own first."""
        own = self._looks.get(light)
        lights = [light]
        if self._last is not None and self._last.is_grey == light.is_grey:
            lights.append(self._last)
        if own is None or not own.is_established:
            lights += [light.brighter(by) for by in (1, -1)]
        usual = [self._looks[each] for each in dict.fromkeys(lights) if each in self._looks]
        return [look for look in usual if look.is_established]

    def _place(
        self, usual: list[Look], placements: Placements
    ) -> tuple[Placement, Light | None]:
        """Return where the camera looks, and in which light that is known."""
        verdicts = [placements.by(look) for look in usual]
        if Placement.FITS in verdicts:
            return Placement.FITS, usual[verdicts.index(Placement.FITS)].light
        if Placement.DISPLACED in verdicts:
            return Placement.DISPLACED, None
        if verdicts and set(verdicts) == {Placement.MISFIT}:
            return Placement.MISFIT, None
        moved = Placement.UNKNOWN
        for look in self._established():
            if look in usual:
                continue
            verdict = placements.by(look)
            if verdict is Placement.FITS:
                return verdict, look.light
            if verdict is Placement.DISPLACED:
                moved = verdict
        return moved, None

    def _learn(
        self, placements: Placements, detail: Detail, time_s: float, *, fits: bool
    ) -> None:
        light, field = placements.light, placements.field
        own = self._looks.get(light)
        is_first_view = not self._established()
        if own is not None:
            placement = placements.by(own)
            if placement is Placement.FITS or own.pictures == 1:
                found = change(own.detail, detail) if own.is_established else None
                self._looks[light] = own.with_picture(field, detail, placements.fit(own), found)
                self._trial_at_s = time_s if own.is_on_trial else self._trial_at_s
                if found is not None:
                    self._lens.add(found)
                return
            if own.is_established or placement is Placement.UNKNOWN:
                return
            # Learning has hardly begun, and the view is another one: begin with that.
        may_try = self._last is not None or any(
            look.is_on_trial and look.light.is_grey == light.is_grey
            for look in self._looks.values()
        )
        if structure(field) >= _MIN_STRUCTURE and (fits or is_first_view or may_try):
            is_on_trial = not (fits or is_first_view)
            self._looks[light] = Look.first(light, field, detail, is_on_trial=is_on_trial)
            self._trial_at_s = time_s

    def _trust_trials(self, time_s: float) -> None:
        """Accept what was learnt on trial: the camera looks where it looked before that."""
        for look in list(self._looks.values()):
            if look.is_on_trial and time_s - self._trial_at_s <= _LIGHT_HOLDS_S:
                self._looks[look.light] = replace(look, is_on_trial=False)

    def _drop_trials(self) -> None:
        self._looks = {
            light: look for light, look in self._looks.items() if not look.is_on_trial
        }


def _codes_of(changes: Sequence[Change]) -> tuple[HealthCode, ...]:
    """Return what is wrong by every look that the picture may have."""
    if not changes:
        return ()
    if all(found.lost_fraction >= _OBSTRUCTED_FRACTION for found in changes):
        return (HealthCode.OBSTRUCTED,)
    if all(found.sharpness_ratio < _BLURRED_RATIO for found in changes):
        return (HealthCode.BLURRED,)
    return ()
