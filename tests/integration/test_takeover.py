"""Two daemons with one client id: the older one ends, and systemd leaves it so."""

from __future__ import annotations

from pathlib import Path

from tests.integration.daemon_process import DaemonProcess
from tests.integration.scripted_broker import TAKEN_OVER, Script, ScriptedBroker

CONFIG = """\
version: 1
site: test
state_dir: state
mqtt: {{host: 127.0.0.1, port: {port}, client_id: shared}}
cameras:
  bridge: {{url: rtsp://127.0.0.1:1/x}}
"""


def test_a_daemon_whose_client_id_is_taken_ends_with_the_remedy_and_exit_code_78(
    tmp_path: Path,
) -> None:
    script = Script(acknowledges=(1000,), disconnect=lambda _: TAKEN_OVER)
    with (
        ScriptedBroker(script=script) as broker,
        DaemonProcess(tmp_path, CONFIG.format(port=broker.port)) as daemon,
    ):
        code = daemon.wait()
        assert code == 78, daemon.log
        assert "give each its own 'mqtt.client_id'" in daemon.log
        assert "'shared'" in daemon.log
