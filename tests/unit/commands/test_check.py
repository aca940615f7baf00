from __future__ import annotations

from pathlib import Path

import pytest

from lsm_engines.machine import this_machine
from lsm_monitor.commands import check
from lsm_monitor.commands.check import check_certificates, check_http, check_load
from lsm_monitor.config.models import HttpConfig, MonitorConfig, MqttConfig
from lsm_monitor.errors import ConfigError
from lsm_monitor.inference.capacity import (
    CAPACITY_FILE,
    Capacity,
    busy_share,
    cameras_carried,
    read_capacity,
    with_decoding,
)
from lsm_monitor.types import ModelIdentity
from tests.certificates import self_signed

MODEL = ModelIdentity("compact", "1.0", "", "openvino-bf16")


def config(cameras: int, interval_s: float = 5.0) -> MonitorConfig:
    return MonitorConfig.model_validate(
        {
            "version": 1,
            "site": "site",
            "mqtt": {"host": "broker"},
            "cameras": {
                **{
                    f"c{i}": {"url": f"rtsp://h/{i}", "interval_s": interval_s}
                    for i in range(cameras)
                },
                "off": {"url": "rtsp://h/off", "enabled": False},
            },
        }
    )


def capacity(
    rate: float, *, machine: str | None = None, model: str = "compact 1.0"
) -> Capacity:
    machine = machine or str(this_machine())
    return Capacity(machine, model, "2026-07-01T00:00:00+00:00", {"openvino-bf16": rate})


def test_cameras_that_ask_for_too_much_are_a_warning_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "usable_cores", lambda: 1)
    capacity(10.0).write(tmp_path)
    assert check_load(config(cameras=27), MODEL, tmp_path) is None
    assert check_load(config(cameras=32), MODEL, tmp_path) == (
        "warning: 32 cameras that ask for 6.4 pictures/s keep this machine 80% busy, and 70% "
        "can be planned with: they may be judged less often than 'interval_s' says; raise it, "
        "or use fewer cameras"
    )
    assert check_load(config(cameras=32, interval_s=6.0), MODEL, tmp_path) is None


def test_rain_over_every_camera_is_planned_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "usable_cores", lambda: 1)
    capacity(10.0).write(tmp_path)
    rainy = MonitorConfig.model_validate(
        {
            "version": 1,
            "site": "site",
            "mqtt": {"host": "broker"},
            "groups": {"low": {"trigger": "rain"}},
            "cameras": {
                f"c{i}": {
                    "url": "rtsp://h/1",
                    "group": "low",
                    "mode": "triggered",
                    "interval_s": 15,
                    "stale_after_s": 3600,
                }
                for i in range(40)
            },
        }
    )
    assert (check_load(rainy, MODEL, tmp_path) or "").startswith(
        "warning: while every trigger is on, 40 cameras that ask for 8 pictures/s keep"
    )
    dry = rainy.model_copy(update={"groups": {}})
    assert check_load(dry, MODEL, tmp_path) is None


def test_what_a_model_on_few_threads_can_do_is_not_known(tmp_path: Path) -> None:
    capacity(10.0).write(tmp_path)
    one = config(cameras=1)
    limited = one.model_copy(update={"model": one.model.model_copy(update={"threads": 1})})
    assert check_load(one, MODEL, tmp_path) is None
    assert "is not known" in (check_load(limited, MODEL, tmp_path) or "")


@pytest.mark.parametrize(
    "known",
    [
        None,
        capacity(10.0, machine="another"),
        capacity(10.0, model="compact 0.9"),
        Capacity(str(this_machine()), "compact 1.0", "", {"torch-fp32": 10.0}),
    ],
    ids=["nothing", "machine", "model", "engine"],
)
def test_what_was_not_measured_is_not_guessed(known: Capacity | None, tmp_path: Path) -> None:
    if known is not None:
        known.write(tmp_path)
    for folder in (tmp_path, None):
        assert (check_load(config(cameras=36), MODEL, folder) or "").endswith(
            "judge so many is not known, run: lsm-engines bench"
        )


def test_a_capacity_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    capacity(10.0).write(folder)
    assert read_capacity(folder) == capacity(10.0)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pictures_per_second": {"a": "b"}}'])
def test_a_damaged_capacity_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / CAPACITY_FILE).write_text(content)
    assert read_capacity(tmp_path) is None


def test_decoding_takes_its_share_of_the_cores() -> None:
    # 100 ms for a mask and 10 ms of one of two cores for a picture.
    assert with_decoding(10.0, "cpu", key_frame_s=0.01, cores=2) == pytest.approx(1 / 0.105)
    assert with_decoding(10.0, "cuda", key_frame_s=0.01, cores=2) == 10.0
    assert with_decoding(1000.0, "cuda", key_frame_s=0.01, cores=2) == 200.0


def test_not_all_of_a_machine_is_planned_with_and_every_connection_costs() -> None:
    # 100 ms of the machine for a picture every 5 s, and 5 ms of a core every second.
    assert busy_share(10.0, [5.0, 5.0], cores=1) == pytest.approx(2 * (0.02 + 0.005))
    assert cameras_carried(10.0, 4.0, cores=1) == 23
    assert cameras_carried(10.0, 5.0, cores=10**6) == 34
    assert cameras_carried(10.0, 3600.0, cores=1) < 140


@pytest.mark.parametrize(
    ("key", "hint"),
    [("users_file", "lsm-monitor users add"), ("tls_cert_file", "http.tls_cert_file")],
)
def test_a_file_of_the_page_that_is_missing_is_found_before_the_start(
    tmp_path: Path, key: str, hint: str
) -> None:
    settings = {key: tmp_path / "missing"}
    with pytest.raises(ConfigError, match=hint):
        check_http(HttpConfig.model_validate(settings))
    check_http(HttpConfig.model_validate({**settings, "enabled": False}))


def test_our_certificate_for_the_broker_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    made, other = self_signed(tmp_path), self_signed(tmp_path / "other")

    def mqtt(cert: Path, key: Path) -> MqttConfig:
        return MqttConfig(host="h", tls=True, cert_file=cert, key_file=key)

    check_certificates(mqtt(made.chain, made.key))
    for cert, key, why in (
        (tmp_path / "missing.pem", made.key, "No such file"),
        (made.chain, tmp_path / "missing.key", "No such file"),
        (made.chain, other.key, "do not belong together"),
        (made.key, made.key, "do not belong together"),
    ):
        with pytest.raises(ConfigError, match=rf"^mqtt\.cert_file: .*{why}"):
            check_certificates(mqtt(cert, key))


def test_a_key_whose_password_only_the_service_has_is_not_looked_at(tmp_path: Path) -> None:
    mqtt = {"host": "h", "tls": True, "cert_file": tmp_path / "no.pem"}
    check_certificates(MqttConfig.model_validate({**mqtt, "key_password": "${cred:key}"}))
