from __future__ import annotations

import errno

import psutil
import pytest
import torch

from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.memory import watch_memory


def test_a_machine_that_does_not_tell_its_memory_costs_no_other_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The statistics on MQTT are made of all of them."""

    def no_file_left(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    def lost_gpu() -> None:
        msg = "CUDA error: an illegal memory access was encountered"
        raise RuntimeError(msg)

    metrics = Metrics()
    watch_memory(metrics, lambda: "cuda")
    monkeypatch.setattr(psutil.Process, "memory_info", no_file_left)
    monkeypatch.setattr(psutil.Process, "children", no_file_left)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lost_gpu)
    told = metrics.snapshot()
    assert told["lsm_mqtt_connected"] == 0.0
    assert not [name for name in told if "memory" in name]
