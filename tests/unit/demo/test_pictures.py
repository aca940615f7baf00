from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.demo.pictures import MOMENTS_S, strip, write_pictures


def test_a_strip_shows_the_pictures_from_left_to_right() -> None:
    dark, light = (np.full((90, 160, 3), grey, np.uint8) for grey in (10, 200))
    joined = strip([dark, light], height_px=45)
    assert joined.shape == (45, 2 * 80 + 4, 3)
    assert joined[0, [0, 79, 82, 84, -1], 0].tolist() == [10, 10, 255, 200, 200]


def test_the_second_strip_is_what_the_overlay_made_of_the_first(tmp_path: Path) -> None:
    seen: list[npt.NDArray[np.uint8]] = []

    def invert(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        seen.append(image)
        return np.asarray(255 - image, np.uint8)

    plain, drawn = (
        cv2.imread(str(path)) for path in write_pictures(tmp_path / "img", overlay=invert)
    )
    assert len(seen) == len(MOMENTS_S)
    assert plain is not None
    assert drawn is not None
    pictures = plain.max(axis=2) < 240  # without the white gaps
    total = plain.astype(int) + drawn.astype(int)
    assert abs(float(total[pictures].mean()) - 255) < 2
