from __future__ import annotations

import io
from collections.abc import Iterator

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lsm_monitor.capture.quality import FrameQuality, QualityCheck, QualityRules
from lsm_monitor.capture.thumbnail import thumbnail
from lsm_monitor.types import HealthCode

Image = npt.NDArray[np.uint8]
RULES = QualityRules()


def flat(value: int) -> Image:
    return np.full((360, 640, 3), value, np.uint8)


def noisy(image: Image, sigma: float, seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).normal(0.0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def street() -> Image:
    """A textured scene: smoothed noise with the contrast of a picture."""
    noise = np.random.default_rng(1).normal(0.0, 1.0, (360, 640, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 3.0)
    return np.asarray(np.clip(120 + 45 * smooth / smooth.std(), 0, 255), np.uint8)


def fog() -> Image:
    return np.asarray(cv2.GaussianBlur(street(), (0, 0), 8.0), np.uint8)


def with_clock(image: Image, second: int) -> Image:
    """Draw the date and time that cameras print into the picture."""
    text = f"2026-01-01 12:00:{second:02d}  CAMERA 4"
    drawn = image.copy()
    cv2.putText(drawn, text, (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)
    return drawn


def night_street() -> Image:
    """Black but for the cones of light under three lamps: about a fifth of the picture."""
    image = flat(4)
    for x in (120, 320, 520):
        cv2.ellipse(image, (x, 280), (80, 60), 0, 0, 360, (90, 80, 60), -1)
        cv2.circle(image, (x, 60), 6, (255, 240, 200), -1)
    return noisy(image, 3.0)


def codes(image: Image) -> tuple[HealthCode, ...]:
    return QualityCheck(RULES).assess(image, 0.0).codes


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(flat(0), [HealthCode.DARK], id="black"),
        pytest.param(noisy(flat(6), 5.0), [HealthCode.DARK], id="capped lens, noise"),
        pytest.param(with_clock(flat(0), 0), [HealthCode.DARK], id="capped lens, clock"),
        pytest.param(flat(255), [HealthCode.OVEREXPOSED], id="white"),
        pytest.param(with_clock(flat(255), 0), [HealthCode.OVEREXPOSED], id="white, clock"),
        pytest.param(flat(128), [HealthCode.BLANK], id="grey decoder output"),
        pytest.param(with_clock(flat(90), 0), [HealthCode.BLANK], id="covered lens, clock"),
        pytest.param(noisy(flat(90), 1.2), [HealthCode.BLANK], id="covered lens, some noise"),
        pytest.param(night_street(), [], id="night street with lamps"),
        pytest.param(street(), [], id="street"),
        pytest.param(noisy(fog(), 2.0), [], id="fog"),
        pytest.param((street() // 5).astype(np.uint8), [], id="dusk"),
    ],
)
def test_codes_of_one_picture(image: Image, expected: list[HealthCode]) -> None:
    assert list(codes(image)) == expected


def assess_all(images: Iterator[Image]) -> list[FrameQuality]:
    check = QualityCheck(RULES)
    return [check.assess(image, 10.0 * i) for i, image in enumerate(images)]


def test_the_very_same_picture_is_frozen_with_the_third_although_its_clock_runs() -> None:
    results = assess_all(with_clock(street(), second) for second in range(6))
    assert [result.codes for result in results] == [()] * 2 + [(HealthCode.FROZEN,)] * 4


def test_copies_within_a_few_seconds_are_no_proof() -> None:
    """Between two key frames, an encoder may copy the tiles of a quiet scene for long."""
    check = QualityCheck(RULES)
    assert all(check.assess(street(), 1.0 * second).usable for second in range(10))


def test_a_nearly_unchanged_picture_is_frozen_after_two_minutes() -> None:
    def speckled(seed: int) -> Image:
        image = street()
        rng = np.random.default_rng(seed)
        image[rng.integers(0, 360, 4000), rng.integers(0, 640, 4000)] ^= 1
        return image

    results = assess_all(speckled(seed) for seed in range(16))
    assert [result.codes for result in results[:12]] == [()] * 12
    assert [result.codes for result in results[12:]] == [(HealthCode.FROZEN,)] * 4


def test_a_still_scene_with_sensor_noise_is_not_frozen() -> None:
    results = assess_all(noisy(street(), 1.0, seed) for seed in range(20))
    assert all(result.usable for result in results)


def test_a_frozen_camera_is_usable_again_with_the_first_other_picture() -> None:
    images = [street()] * 14 + [np.roll(street(), 20, axis=1)]
    assert [result.usable for result in assess_all(iter(images))[-2:]] == [False, True]


def test_light_that_changes_slowly_is_not_frozen() -> None:
    results = assess_all((street() * (1 - 0.002 * i)).astype(np.uint8) for i in range(20))
    assert all(result.usable for result in results)


def test_a_camera_that_changes_its_resolution_is_not_compared() -> None:
    check = QualityCheck(RULES)
    check.assess(street(), 0.0)
    assert check.assess(street()[:300], 10.0).usable


def decoded(images: Iterator[Image]) -> Iterator[Image]:
    """Encode as cameras do, every picture a key frame, and decode again."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=1, options={"crf": "28", "g": "1"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


@pytest.mark.parametrize(
    ("sigma", "frozen"),
    [pytest.param(0.0, True, id="frozen"), pytest.param(2.0, False, id="live sensor")],
)
def test_compression_hides_neither_a_frozen_picture_nor_a_live_sensor(
    *, sigma: float, frozen: bool
) -> None:
    images = (noisy(street(), sigma, seed) for seed in range(16))
    last = assess_all(decoded(images))[-1]
    assert last.codes == ((HealthCode.FROZEN,) if frozen else ())


@pytest.mark.parametrize("shape", [(1080, 1920), (10, 10), (10, 4000), (2160, 3840), (37, 53)])
def test_tiles_of_any_picture_size(shape: tuple[int, int]) -> None:
    tiles = thumbnail(np.full((*shape, 3), 77, np.uint8)).tiles()
    assert len(tiles) >= 1
    assert tiles.dtype == np.float32
    assert np.all(tiles == 77)


@pytest.mark.parametrize("shape", [(9, 100, 3), (100, 100), (100, 100, 4)])
def test_what_is_no_rgb_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be"):
        thumbnail(np.zeros(shape, np.uint8))


def test_a_picture_too_small_to_show_anything_is_unusable_and_no_crash() -> None:
    tiny = np.zeros((2, 2, 3), np.uint8)
    assert QualityCheck(QualityRules()).assess(tiny, 0.0).codes == (HealthCode.BLANK,)
