"""``lsm-monitor demo``: the real daemon between a rendered camera and a subscriber.

The configuration is written as a file and read back by the daemon's own loader; the daemon is
the one of ``lsm-monitor run``. Only its dwell times are short, so that a flood fits into a
minute. Nothing after the camera is simulated.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from lsm_monitor.app import Daemon
from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.config.service import HttpConfig
from lsm_monitor.demo.lines import line_of
from lsm_monitor.demo.session import DemoSession, demo_session
from lsm_monitor.demo.subscriber import Subscriber
from lsm_monitor.errors import HttpPortError

_QUIET_S = 5.0
"""After so long without news the newest state is repeated: the demo never looks stuck."""

_CONFIG = """\
version: 1
site: demo
state_dir: {state_dir}
mqtt: {{host: 127.0.0.1, port: {port}, protocol: 3.1.1, heartbeat_s: 60}}
http: {{port: {page_port}}}
# Short, so that a flood fits into a minute. A city leaves them out.
defaults:
  {{interval_s: 1, smoothing_s: 1.5, open_for_s: 3, level_up_for_s: 3, close_for_s: 4,
   update_every_s: 3, trend: {{short_s: 9, long_s: 18, rapid_pp_per_min: 1000}}}}
cameras:
  street:
    title: Rendered street
    location: {{lat: 30.2741, lon: 120.1551}}
    url: {url}
"""


def run_demo(*, seconds: float | None, video: Path | None, as_json: bool, stay: bool) -> None:
    """Run until the flood is over, ``seconds`` have passed, or Ctrl-C.

    Args:
        seconds: Longest time to watch; ``None``: until the episode closes, or for ever with an
            own video.
        video: The operator's own clip, looped; ``None`` renders the flooding street.
        as_json: Print the events as JSON, exactly as they came over MQTT, and nothing else on
            stdout.
        stay: Go on after the flood: the scene begins anew, and the page can be looked at.

    Raises:
        LsmMonitorError: The video, the broker or the model cannot be used.
    """
    say = _Say(is_terminal=sys.stderr.isatty())
    view = _View(as_json=as_json, say=say)
    with (
        TemporaryDirectory(prefix="lsm-demo-") as folder,
        demo_session(video=video, progress=say.rendering) as session,
        Subscriber(
            host="127.0.0.1",
            port=session.broker_port,
            prefix="lsm/v1/demo",
            on_message=view.show,
            client_id="demo-subscriber",
        ),
    ):
        config = Path(folder) / "demo.yaml"
        page_port = _free_port()
        config.write_text(_config_text(session, folder, page_port))
        say(f"camera {session.camera_url}, broker 127.0.0.1:{session.broker_port}")
        say("starting the daemon: lsm-monitor run, with short dwell times")
        loaded = load(config, os.environ)

        def on_ready() -> None:
            say(f"look at it: http://127.0.0.1:{page_port}/")
            if stay:
                say("it floods once a minute; Ctrl-C ends the demo")

        until_closed = video is None and not stay
        asyncio.run(
            _watch(loaded, view, seconds=seconds, until_closed=until_closed, tell=on_ready)
        )
    say(f"{view.events} events arrived" + (", in order" if view.in_order else ", OUT OF ORDER"))


async def _watch(
    loaded: LoadedConfig,
    view: _View,
    *,
    seconds: float | None,
    until_closed: bool,
    tell: Callable[[], None],
) -> None:
    """Run the daemon until it is time to stop; SIGINT cancels."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if until_closed:
        view.on_close = partial(loop.call_soon_threadsafe, stop.set)

    def on_ready() -> None:
        tell()
        if seconds is not None:
            loop.call_later(seconds, stop.set)

    daemon = Daemon(loaded, environ={}, on_ready=on_ready)
    teller = asyncio.create_task(_repeat_when_quiet(view), name="demo-progress")
    try:
        await daemon.run(stop)
    finally:
        teller.cancel()


class _View:
    """What the subscriber in this terminal prints. Called from the subscriber's thread."""

    def __init__(self, *, as_json: bool, say: Callable[[str], None]) -> None:
        self._as_json = as_json
        self._say = say
        self._last_seq = 0
        self._newest_state = "waiting for the first picture"
        self.on_close: Callable[[], object] = lambda: None
        self.quiet = True
        self.events = 0
        self.in_order = True

    def show(self, topic: str, payload: bytes) -> None:
        """Print one message, if it says something that was not printed yet."""
        is_event = topic.endswith("/event")
        line = line_of(topic, payload)
        if line is None:
            return
        if topic.endswith("/state"):
            self._newest_state = line
            return
        self.quiet = False
        if not is_event:
            self._say(line)
            return
        event = json.loads(payload)
        self.events += 1
        self.in_order &= event["seq"] == self._last_seq + 1
        self._last_seq = event["seq"]
        typer.echo(payload.decode() if self._as_json else line)
        if event["event_type"] == "close":
            self._last_seq = 0
            self.on_close()

    def repeat_state(self) -> None:
        """Print the newest state when nothing else was printed since the last call."""
        if self.quiet:
            self._say(self._newest_state)
        self.quiet = True


class _Say:
    """Progress on stderr."""

    def __init__(self, *, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self._told_tenths = -1

    def __call__(self, text: str) -> None:
        typer.echo(text, err=True)

    def rendering(self, done: float) -> None:
        """Tell how much of the street is rendered: in place on a terminal, else at the end."""
        tenths = int(done * 10)
        if tenths == self._told_tenths:
            return
        self._told_tenths = tenths
        if self._is_terminal:
            end = "\n" if tenths == 10 else ""  # noqa: PLR2004 - done
            typer.echo(f"\rrendering the street: {tenths * 10} %", err=True, nl=False)
            typer.echo(end, err=True, nl=False)
        elif tenths in {0, 5, 10}:
            self(f"rendering the street: {tenths * 10} %")


def _free_port() -> int:
    """Return the page's usual port, or another one while somebody has that."""
    for port in (HttpConfig().port, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as found:
            free: int = found.getsockname()[1]
            return free
    msg = "no TCP port is free on 127.0.0.1"
    raise HttpPortError(msg)


def _config_text(session: DemoSession, folder: str, page_port: int) -> str:
    # JSON's quoting is YAML's: the folder's name may hold anything.
    state_dir = json.dumps(f"{folder}/state")
    text = _CONFIG.format(
        state_dir=state_dir,
        port=session.broker_port,
        page_port=page_port,
        url=session.camera_url,
    )
    if session.zone is None:
        return text
    text += f"    zones: {{road: {{points: {_pairs(session.zone)}}}}}\n"
    if session.survey is None:
        return text
    marks = ", ".join(
        f"{{points: {_pairs([spot])}, depth_cm: {depth_cm}}}"
        for spot, depth_cm in session.survey.marks
    )
    points, metres = session.survey.ground_points, session.survey.ground_metres
    text += f"    gauges: {{gutter: {{marks: [{marks}]}}}}\n"
    return text + f"    ground: {{points: {_pairs(points)}, metres: {_pairs(metres)}}}\n"


def _pairs(points: Iterable[tuple[float, float]]) -> str:
    return "[" + ", ".join(f"[{x:g}, {y:g}]" for x, y in points) + "]"


async def _repeat_when_quiet(view: _View) -> None:
    while True:
        await asyncio.sleep(_QUIET_S)
        view.repeat_state()
