"""The daemon as a process on a state folder that fails: the flood is told all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsm_monitor.demo.rtsp_server import RtspServer
from tests.integration.bad_disks import small_disk
from tests.integration.brokers import RealBroker
from tests.integration.daemon_process import DaemonProcess, events, wait_for_event
from tests.integration.test_daemon import config_text, street_clip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_a_flood_goes_on_under_its_id_from_a_folder_that_became_read_only(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    dry, flooded = street_clip(0.0), street_clip(1.0)
    try:
        with (
            small_disk(state) as disk,
            RealBroker() as broker,
            broker.subscriber("lsm/#") as notes,
            RtspServer(flooded) as camera,
        ):
            port = int(camera.url.split(":")[2].split("/")[0])
            text = config_text(broker, bridge=f"url: {camera.url}")
            with DaemonProcess(tmp_path, text) as daemon:
                wait_for_event(notes, "open")
                assert daemon.terminate() == 0
                (state / "views" / "bridge.new").write_bytes(b"half a file, of a kill")
                disk.make_writable(writable=False)
                daemon.start()
                daemon.wait_for_log("events are not durable")
                camera.stop()
                with RtspServer(dry, port=port):
                    wait_for_event(notes, "close")
                    disk.make_writable(writable=True)
                    daemon.wait_for_log("events are durable again")
                    assert daemon.terminate() == 0
    except PermissionError as exc:
        pytest.skip(f"needs the right to mount a tmpfs: {exc}")
    # A disk with less room than is left to the outbox: it cost evidence, and no alert.
    assert "evidence is not stored" in daemon.log
    assert daemon.log.count("bridge.new: cannot be used") == 1
    told = events(notes)
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    assert len({event["event_id"] for event in told}) == 1
