"""A rendered street through a day and a night, as a surveillance camera delivers it.

Light, sun, weather, traffic, exposure, a mast in the wind, infra-red lamps, the camera's own
clock and name, and at last H.264: what bench_camera_health.py judges. Everything is a function
of the street's seed and of the picture's number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import av
import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_light import view_of
from lsm_monitor.demo.scene_paint import paint_mesh
from lsm_monitor.demo.scene_style import random_style
from lsm_monitor.demo.scene_traffic import Actor, car_faces, cars_at

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

INTERVAL_S = 10.0
WIDTH_PX, HEIGHT_PX = 640, 360
# The street is painted at these and blended in between.
_DAYLIGHTS = (1.0, 0.6, 0.35, 0.15, 0.0)


@dataclass(frozen=True, slots=True)
class Moment:
    """What one picture of the story shows.

    Attributes:
        number: Position in the story.
        part: Name of the part of the story.
        daylight: 1 is noon, 0 is night.
        rain: 0 is dry.
        is_infrared: Whether the camera has switched to infra-red light.
        is_quiet: Whether nothing moves: no traffic, no wind, a steady exposure.
        water_level: Share of the road under water.
        yaw_rad: By how much the camera has been turned.
    """

    number: int
    part: str
    daylight: float
    rain: float = 0.0
    is_infrared: bool = False
    is_quiet: bool = False
    water_level: float = 0.0
    yaw_rad: float = 0.0


def a_day_and_a_night(part_pictures: int = 45) -> list[Moment]:
    """Return an ordinary day, with everything that must not raise an alarm."""
    parts = (
        ("day", 1.0, 1.0, 0.0, False),
        ("dusk", 1.0, 0.0, 0.0, False),
        ("night", 0.0, 0.0, 0.0, False),
        ("quiet night", 0.0, 0.0, 0.0, False),
        ("rain at night", 0.0, 0.0, 0.8, False),
        ("infra-red", 0.0, 0.0, 0.0, True),
        ("quiet infra-red", 0.0, 0.0, 0.0, True),
        ("dawn", 0.0, 1.0, 0.0, False),
        ("rain by day", 0.9, 0.9, 0.6, False),
        ("second day", 1.0, 1.0, 0.0, False),
    )
    story: list[Moment] = []
    for part, first, last, rain, is_infrared in parts:
        for daylight in np.linspace(first, last, part_pictures):
            is_quiet = part.startswith("quiet")
            story.append(Moment(len(story), part, float(daylight), rain, is_infrared, is_quiet))
    return story


def a_flood(after: int, daylight: float, pictures: int = 50) -> list[Moment]:
    """Return water that rises over the whole road and stays."""
    levels = np.minimum(1.0, np.linspace(0.0, 2.0, pictures))
    return [
        Moment(after + i, "flood", daylight, water_level=float(level))
        for i, level in enumerate(levels)
    ]


class Street:
    """One street, whose pictures are rendered on demand."""

    def __init__(self, seed: int) -> None:
        style = random_style(seed, width_px=WIDTH_PX, height_px=HEIGHT_PX)
        self._style = replace(style, noise=0.0)
        self._seed = seed
        # Neighbouring moments use the same painted streets.
        self._scene = cache(self._paint)

    def picture(self, moment: Moment) -> Image:
        """Return what the sensor sees, before noise and overlay."""
        if moment.is_infrared:
            image = self._infrared(moment)
        else:
            image = self._blended(moment)
            image *= _sun_shadows(moment, self._seed)
        self._park(image, moment)
        self._dazzle(image, moment)
        if moment.is_infrared:
            image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
        image = _exposed(image, moment)
        return np.clip(_shaken(image, moment, self._seed), 0, 255).astype(np.uint8)

    def _paint(
        self,
        daylight: float,
        rain: float,
        yaw_rad: float,
        is_quiet: bool,  # noqa: FBT001 - a key of the cache
    ) -> StreetScene:
        style = replace(
            self._style, daylight=daylight, rain=rain, yaw_rad=self._style.yaw_rad + yaw_rad
        )
        return StreetScene(replace(style, cars_per_minute=0.0) if is_quiet else style)

    def _blended(self, moment: Moment) -> Floats:
        """Return the street between the two painted lights around the moment's."""
        brighter = min(d for d in _DAYLIGHTS if d >= moment.daylight - 1e-9)
        darker = max(d for d in _DAYLIGHTS if d <= moment.daylight + 1e-9)
        share = (moment.daylight - darker) / max(brighter - darker, 1e-9)
        image = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.float32)
        for daylight, weight in ((brighter, share), (darker, 1 - share)):
            if weight > 0 or brighter == darker:
                image += self._rendered(moment, daylight) * (
                    1.0 if brighter == darker else weight
                )
            if brighter == darker:
                break
        return image

    def _rendered(self, moment: Moment, daylight: float) -> Floats:
        scene = self._scene(daylight, moment.rain, moment.yaw_rad, moment.is_quiet)
        time_s = 0.0 if moment.is_quiet else moment.number * INTERVAL_S
        picture, _ = scene.render(moment.water_level, time_s)
        return picture.astype(np.float32)

    def _infrared(self, moment: Moment) -> Floats:
        """Return the street in the light of lamps beside the lens: near is bright."""
        day = replace(moment, daylight=1.0, is_infrared=False)
        street = self._rendered(day, 1.0)
        rows, columns = np.indices(street.shape[:2], np.float32)
        off_axis = np.hypot(columns / WIDTH_PX - 0.5, rows / HEIGHT_PX - 0.6)
        horizon = self._style.horizon_fraction * HEIGHT_PX
        nearness = np.clip((rows - horizon * 0.6) / (HEIGHT_PX - horizon * 0.6), 0, 1)
        lamps = np.exp(-5 * off_axis**2) * (0.12 + 0.88 * nearness**0.7)
        return np.asarray(street * lamps[..., None], np.float32)

    def _park(self, image: Floats, moment: Moment) -> None:
        """Put cars at the kerb, which come and go with the hours."""
        rng = np.random.default_rng((self._seed, 7))
        view = view_of(replace(self._style, yaw_rad=self._style.yaw_rad + moment.yaw_rad))
        brightness = 0.25 + 0.65 * (0.6 if moment.is_infrared else moment.daylight)
        for slot in range(6):
            z_m, kind = float(rng.uniform(8, 30)), int(rng.integers(100))
            comes, stays = int(rng.integers(0, 400)), int(rng.integers(20, 200))
            if comes <= moment.number < comes + stays and moment.water_level == 0:
                side = -1 if slot % 2 else 1
                car = Actor(side * (self._style.road_width_m / 2 - 1), z_m, side, kind, True)  # noqa: FBT003
                faces = car_faces(car, brightness, lamps=False)
                paint_mesh(image, np.zeros(image.shape[:2], np.float32), view, faces)

    def _dazzle(self, image: Floats, moment: Moment) -> None:
        """Let headlights that come towards the camera bloom."""
        if moment.daylight > 0.3 or moment.is_quiet:  # noqa: PLR2004 - by day nobody is
            return
        view = view_of(replace(self._style, yaw_rad=self._style.yaw_rad + moment.yaw_rad))
        rows, columns = np.indices(image.shape[:2], np.float32)
        for car in cars_at(self._style, moment.number * INTERVAL_S):
            if car.heading < 0:
                x, y = view.project((car.x_m, 0.65, car.z_m))
                spread_px = 1600 / max(float(car.z_m), 6.0)
                far = ((columns - x) ** 2 + (rows - y) ** 2) / spread_px**2
                image += (220 * np.exp(-far) + 40 * np.exp(-far / 9))[..., None]


def _sun_shadows(moment: Moment, seed: int) -> Floats:
    """Return the factor of hard shadows that wander with the sun."""
    if moment.daylight < 0.7 or moment.rain > 0:  # noqa: PLR2004 - no sun
        return np.ones((1, 1, 1), np.float32)
    rng = np.random.default_rng((seed, 3))
    shade = np.ones((HEIGHT_PX, WIDTH_PX), np.float32)
    for _ in range(3):
        left, width = rng.uniform(-0.2, 0.9), rng.uniform(0.1, 0.35)
        left += 0.002 * moment.number * rng.uniform(0.5, 1.5)
        slant = rng.uniform(-0.3, 0.3)
        corners = [
            (left, 0.3),
            (left + width, 0.3),
            (left + width + slant, 1),
            (left + slant, 1),
        ]
        points = np.array(corners) * (WIDTH_PX, HEIGHT_PX)
        cv2.fillPoly(shade, [points.astype(np.int32)], 0.5)
    return np.asarray(cv2.GaussianBlur(shade, (0, 0), 1.5)[..., None], np.float32)


def _exposed(image: Floats, moment: Moment) -> Floats:
    """Return the picture after the automatic exposure, which hunts a little."""
    mean = float(image.mean())
    gain = np.clip((105 / max(mean, 1.0)) ** 0.5, 0.6, 2.2)
    hunting = 0.0 if moment.is_quiet else 0.05 * np.sin(moment.number * 0.9)
    return np.asarray(image * gain * (1 + hunting), np.float32)


def _shaken(image: Floats, moment: Moment, seed: int) -> Floats:
    """Return the picture from a mast in the wind: up to 0.4 % of its width."""
    rng = np.random.default_rng((seed, moment.number, 11))
    if moment.is_quiet:
        return image
    right, down = rng.uniform(-0.004, 0.004, 2) * WIDTH_PX
    matrix = np.array([(1, 0, right), (0, 1, down)], np.float32)
    size = (WIDTH_PX, HEIGHT_PX)
    moved = cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


@dataclass(frozen=True, slots=True)
class Coding:
    """How a camera codes its video.

    Attributes:
        name: For people.
        options: Rate control of x264.
        gop_pictures: Pictures from one key frame to the next.
    """

    name: str
    options: dict[str, str]
    gop_pictures: int


def noise_sigma(moment: Moment) -> float:
    """Return the noise of the sensor at its gain, in grey levels."""
    return 1.2 + 3.0 * (1 - moment.daylight)


def delivered(
    pictures: Iterable[tuple[Image, float]],
    coding: Coding,
    *,
    clock: bool = True,
    seed: int = 0,
) -> Iterator[Image]:
    """Yield the key frames of a camera that codes ``pictures``, one per picture.

    Args:
        pictures: What the sensor sees, and the standard deviation of its noise. Each fills
            one group of pictures, in which only noise moves.
        coding: The encoder.
        clock: Whether the camera prints the time.
        seed: Of the noise.
    """
    encoder = av.CodecContext.create("libx264", "w")
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(encoder, av.VideoCodecContext)  # noqa: S101 - both code video
    assert isinstance(decoder, av.VideoCodecContext)  # noqa: S101
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(25), Fraction(1, 25)
    encoder.gop_size, encoder.thread_count = coding.gop_pictures, 1
    common = {"preset": "veryfast", "tune": "zerolatency", "sc_threshold": "0"}
    encoder.options = common | coding.options
    rng = np.random.default_rng(seed)
    grain = rng.standard_normal((2 * HEIGHT_PX, 2 * WIDTH_PX), np.float32)
    grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), 0.7), np.float32)
    grain /= grain.std()
    for number, (picture, sigma) in enumerate(pictures):
        for _ in range(coding.gop_pictures):
            y, x = rng.integers(HEIGHT_PX), rng.integers(WIDTH_PX)
            noise = sigma * grain[y : y + HEIGHT_PX, x : x + WIDTH_PX, None]
            noisy = (
                np.clip(picture + noise, 0, 255).astype(np.uint8) if sigma else picture.copy()
            )
            _print_overlay(noisy, number if clock else 0)
            frame = av.VideoFrame.from_ndarray(noisy, format="rgb24")
            for packet in encoder.encode(frame.reformat(format="yuv420p")):
                if packet.is_keyframe:
                    for key in decoder.decode(packet) + decoder.decode(None):
                        yield np.asarray(key.to_ndarray(format="rgb24"), np.uint8)
                    decoder.flush_buffers()


def _print_overlay(image: Image, number: int) -> None:
    seconds = int(number * INTERVAL_S)
    hours, minutes = 12 + seconds // 3600 % 12, seconds // 60 % 60
    clock = f"2026-01-01 {hours:02d}:{minutes:02d}:{seconds % 60:02d}"
    for text, at in ((clock, (8, 20)), ("CAMERA 04 MAIN STREET", (400, HEIGHT_PX - 10))):
        for colour, width in ((0, 3), (255, 1)):
            cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (colour,) * 3, width)
