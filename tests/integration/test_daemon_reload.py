"""The configuration changes while the daemon runs."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from lsm_monitor.demo.clip import Clip, encode_clip
from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.model.bundle import MANIFEST_FILE, SHIPPED, WEIGHTS_FILE
from tests.integration.brokers import Notes, RealBroker
from tests.integration.daemon_process import DaemonProcess
from tests.rtsp_faults import FaultyCamera

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TIMEOUT_S = 60.0
INFO = "lsm/v1/test/info"


@pytest.fixture(scope="module")
def clip() -> Clip:
    scene = StreetScene(SceneStyle())
    return encode_clip((scene.render(0.0, i / 4)[0] for i in range(8)), fps=4)


def config_text(broker: RealBroker, *, on_change: bool, **cameras: str) -> str:
    lines = "".join(f"  {name}: {{{settings}}}\n" for name, settings in cameras.items())
    return (
        "version: 1\nsite: test\nstate_dir: state\nhttp: {enabled: false}\n"
        f"reload_on_change: {str(on_change).lower()}\n"
        f"mqtt: {{host: 127.0.0.1, port: {broker.port}}}\n"
        "defaults: {interval_s: 0.5, read_timeout_s: 3, backoff_max_s: 1}\n"
        f"cameras:\n{lines}"
    )


def infos(notes: Notes) -> list[dict[str, object]]:
    return [json.loads(payload) for payload in notes.on(INFO)]


def wait_for_reload(notes: Notes, count: int) -> dict[str, object]:
    """Return the ``count``-th report of a reload."""

    def reloads() -> list[dict[str, object]]:
        return [info for info in infos(notes) if info["reason"] == "reload"]

    notes.wait_until(lambda _: len(reloads()) >= count, timeout_s=TIMEOUT_S)
    return reloads()[count - 1]


def wait_until_usable(notes: Notes, name: str, *, times: int = 1) -> None:
    topic = f"lsm/v1/test/camera/{name}/availability"
    notes.wait_until(lambda _: notes.on(topic).count(b"online") >= times, timeout_s=TIMEOUT_S)


def test_cameras_come_go_and_change_and_the_others_notice_nothing(
    tmp_path: Path, broker: RealBroker, notes: Notes, clip: Clip
) -> None:
    with FaultyCamera(clip) as stays, FaultyCamera(clip) as moves, FaultyCamera(clip) as comes:
        text = config_text(
            broker, on_change=False, stays=f"url: {stays.url}", moves=f"url: {moves.url}"
        )
        with DaemonProcess(tmp_path, text) as daemon:
            wait_until_usable(notes, "stays")
            wait_until_usable(notes, "moves")
            before = infos(notes)[-1]["config"]
            (tmp_path / "monitor.yaml").write_text(
                config_text(
                    broker,
                    on_change=False,
                    stays=f"url: {stays.url}, interval_s: 1",
                    moves=f"url: {comes.url}",
                    new=f"url: {comes.url}",
                )
            )
            os.kill(daemon.running.pid, signal.SIGHUP)
            report = wait_for_reload(notes, 1)
            wait_until_usable(notes, "new")
            comes.wait_for_connections(2, timeout_s=TIMEOUT_S)
            assert stays.connections == 1
            assert moves.connections == 1
            assert daemon.terminate() == 0
    assert report["problem"] is None
    assert report["config"] != before
    assert "1 added, 1 reopened, 1 retimed" in daemon.log


def test_a_new_format_of_the_log_holds_for_the_processes_that_hold_cameras_too(
    tmp_path: Path, broker: RealBroker, notes: Notes, clip: Clip
) -> None:
    with FaultyCamera(clip) as street:
        text = config_text(broker, on_change=False, bridge=f"url: {street.url}")
        with DaemonProcess(tmp_path, text) as daemon:
            wait_until_usable(notes, "bridge")
            new = config_text(
                broker,
                on_change=False,
                bridge=f"url: {street.url}",
                quay=f"url: {street.url}",
            )
            (tmp_path / "monitor.yaml").write_text(f"{new}logging: {{format: json}}\n")
            os.kill(daemon.running.pid, signal.SIGHUP)
            wait_until_usable(notes, "quay")
            assert daemon.terminate() == 0
    lines = [line for line in daemon.log.splitlines() if "usable pictures" in line]
    assert "event=\"camera 'bridge': usable pictures\"" in lines[0]
    assert json.loads(lines[1])["event"] == "camera 'quay': usable pictures"


def test_a_file_with_a_problem_changes_nothing_and_is_reported(
    tmp_path: Path, broker: RealBroker, notes: Notes, clip: Clip
) -> None:
    with FaultyCamera(clip) as street:
        text = config_text(broker, on_change=False, bridge=f"url: {street.url}")
        with DaemonProcess(tmp_path, text) as daemon:
            wait_until_usable(notes, "bridge")
            before = infos(notes)[-1]["config"]
            (tmp_path / "monitor.yaml").write_text(text.replace("interval_s", "intervall_s"))
            os.kill(daemon.running.pid, signal.SIGHUP)
            report = wait_for_reload(notes, 1)
            (tmp_path / "monitor.yaml").write_text(text)
            os.kill(daemon.running.pid, signal.SIGHUP)
            assert wait_for_reload(notes, 2)["problem"] is None
            assert street.connections == 1
    assert report["config"] == before
    assert re.search(r"monitor.yaml:\d+: .*did you mean 'interval_s'", str(report["problem"]))
    assert "did you mean 'interval_s'" in daemon.log


def test_a_file_that_is_saved_is_taken_over_at_once(
    tmp_path: Path, broker: RealBroker, notes: Notes, clip: Clip
) -> None:
    with FaultyCamera(clip) as street:
        text = config_text(broker, on_change=True, bridge=f"url: {street.url}")
        with DaemonProcess(tmp_path, text):
            wait_until_usable(notes, "bridge")
            # As editors do it: a new file takes the place of the old one.
            (tmp_path / "new").write_text(text + f"  station: {{url: {street.url}}}\n")
            (tmp_path / "new").replace(tmp_path / "monitor.yaml")
            wait_until_usable(notes, "station")
            (tmp_path / "monitor.yaml").write_text("version: 1\n")
            assert wait_for_reload(notes, 2)["problem"] is not None
            # What is taken back is in use again, though nothing in it is new.
            both = text + f"  station: {{url: {street.url}}}\n"
            (tmp_path / "monitor.yaml").write_text(both)
            assert wait_for_reload(notes, 3)["problem"] is None
            (tmp_path / "monitor.yaml").write_text(text)
            assert wait_for_reload(notes, 4)["problem"] is None
            gone = "lsm/v1/test/camera/station/availability"
            notes.wait_until(lambda _: notes.on(gone)[-1:] == [b""], timeout_s=TIMEOUT_S)


def test_another_bundle_takes_over_while_cameras_are_watched_and_can_be_taken_back(
    tmp_path: Path, broker: RealBroker, notes: Notes, clip: Clip
) -> None:
    shipped = SHIPPED / "compact"
    city, damaged = tmp_path / "city", tmp_path / "damaged"
    for folder in (city, damaged):
        folder.mkdir()
        manifest = json.loads((shipped / MANIFEST_FILE).read_text()) | {"version": "city"}
        (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    (city / WEIGHTS_FILE).write_bytes((shipped / WEIGHTS_FILE).read_bytes())

    def versions() -> list[object]:
        found = [info["model"] for info in infos(notes)]
        return [model["version"] for model in found if isinstance(model, dict)]

    with FaultyCamera(clip) as street:
        text = config_text(broker, on_change=False, bridge=f"url: {street.url}")

        def wait_for_version(version: object) -> None:
            notes.wait_until(lambda _: versions()[-1] == version, timeout_s=TIMEOUT_S)

        def use(bundle: str | Path) -> None:
            model = f"model: {{bundle: {bundle}, backend: torch}}\n"
            (tmp_path / "monitor.yaml").write_text(model + text)

        use("compact")
        with DaemonProcess(tmp_path, (tmp_path / "monitor.yaml").read_text()) as daemon:
            wait_until_usable(notes, "bridge")
            before = str(versions()[-1])
            for bundle, version in ((str(city), "city"), ("compact", before)):
                use(bundle)
                os.kill(daemon.running.pid, signal.SIGHUP)
                wait_for_version(version)
            use(damaged)
            os.kill(daemon.running.pid, signal.SIGHUP)
            notes.wait_until(
                lambda _: infos(notes)[-1]["problem"] is not None, timeout_s=TIMEOUT_S
            )
            refused = infos(notes)[-1]
            assert street.connections == 1
            assert daemon.terminate() == 0
    assert versions()[-1] == before
    assert "weights.safetensors: cannot be read" in str(refused["problem"])
    assert "'compact' stays in use" in str(refused["problem"])
    assert "the model compact city has taken over" in daemon.log
