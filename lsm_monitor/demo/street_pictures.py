"""A few pictures of the rendered street: what ``lsm-engines`` tries engines on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from lsm_monitor.demo.clip import encode_clip
from lsm_monitor.demo.scene import Image, StreetScene
from lsm_monitor.demo.scene_style import SceneStyle

_LEVELS = (0.0, 0.15, 0.3, 0.6, 0.9)
_T_S = 10.0


def street_pictures(scale: int = 1) -> Iterator[tuple[str, Image]]:
    """Yield name and picture, (H, W, 3) uint8 RGB, of a street, dry and ever deeper flooded.

    Args:
        scale: 1 for 640 x 360 pixels, 3 for 1080p.
    """
    style = SceneStyle()
    scene = StreetScene(
        dataclasses.replace(
            style,
            width_px=scale * style.width_px,
            height_px=scale * style.height_px,
            focal_px=scale * style.focal_px,
        )
    )
    for level in _LEVELS:
        yield f"street, {level:.0%} under water", scene.render(level, _T_S)[0]


def key_frames(pictures: Iterable[Image]) -> list[bytes]:
    """Return pictures as a camera sends them: H.264 key frames, each with its parameters."""
    clip = encode_clip(pictures, fps=1, gop_s=1.0)
    return [
        b"".join(b"\0\0\0\1" + unit for unit in picture.nal_units)
        for picture in clip.access_units
    ]
