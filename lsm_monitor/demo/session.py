"""The world around the daemon, on this machine: a street camera and a broker.

The daemon in the middle is the real one; it is started by whoever enters this session, and
reaches both by their addresses, as it would in a city.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsm_monitor.demo.broker import DemoBroker
from lsm_monitor.demo.clip import Clip, encode_clip, load_clip
from lsm_monitor.demo.rtsp_server import RtspServer
from lsm_monitor.demo.scene import EPISODE_S, StreetScene, flood_script, road_zone
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.demo.scene_survey import Survey, survey

FPS = 10
Progress = Callable[[float], None]
Zone = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class DemoSession:
    """What the daemon is configured with.

    Attributes:
        camera_url: RTSP address of the camera, on loopback, without login.
        zone: Corners of the road in the picture, (x, y) in [0, 1]; ``None`` when the clip is
            the operator's own and nobody knows where its road is.
        broker_port: MQTT port on 127.0.0.1.
        survey: What was measured in the rendered street; ``None`` when ``zone`` is.
    """

    camera_url: str
    zone: Zone | None
    broker_port: int
    survey: Survey | None


def rendered_clip(
    style: SceneStyle, *, seconds: float = EPISODE_S, progress: Progress | None = None
) -> Clip:
    """Return the demo's episode as a clip.

    Args:
        style: The street.
        seconds: How much of the episode.
        progress: Called after each picture with the share that is done, (0, 1].
    """
    return encode_clip(_pictures(style, seconds, progress), fps=FPS)


def _pictures(
    style: SceneStyle, seconds: float, progress: Progress | None
) -> Iterator[npt.NDArray[np.uint8]]:
    scene = StreetScene(style)
    count = round(seconds * FPS)
    for index in range(count):
        t_s = index / FPS
        image, _ = scene.render(flood_script(t_s), t_s)
        yield image
        if progress is not None:
            progress((index + 1) / count)


@contextlib.contextmanager
def demo_session(
    *, video: Path | None = None, progress: Progress | None = None
) -> Iterator[DemoSession]:
    """Run camera and broker while the context lasts; both are gone afterwards.

    Args:
        video: The operator's own clip; ``None`` renders the flooding street.
        progress: Called while the street is rendered; see :func:`rendered_clip`.

    Raises:
        SourceOpenError: ``video`` cannot be used.
        BrokerError: The broker does not start.
    """
    style = SceneStyle()
    clip = rendered_clip(style, progress=progress) if video is None else load_clip(video)
    zone = road_zone(style) if video is None else None
    measured = survey(style) if video is None else None
    with RtspServer(clip) as camera, DemoBroker() as broker:
        yield DemoSession(camera.url, zone, broker.port, measured)
