"""The daemon's memory as gauges: the leak nobody sees is the one that ends in the night.

The limit itself is the unit's ``MemoryMax``: the kernel enforces it, whatever this process
has become.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import psutil
import torch

from lsm_monitor.metrics import Metrics


def watch_memory(metrics: Metrics, device: Callable[[], str]) -> None:
    """Have the gauges read the memory whenever somebody asks for it.

    Args:
        metrics: Has the gauges.
        device: Returns what the model runs on: ``cpu`` or ``cuda``.
    """
    process = psutil.Process()
    metrics.resident_bytes.labels("daemon").set_function(
        lambda: _if_told(lambda: _resident_bytes([process]))
    )
    metrics.resident_bytes.labels("children").set_function(
        lambda: _if_told(lambda: _resident_bytes(process.children(recursive=True)))
    )
    metrics.gpu_memory_used_bytes.set_function(
        lambda: _if_told(_gpu_used_bytes) if device() == "cuda" else 0.0
    )


def _if_told(read: Callable[[], float]) -> float:
    """Return NaN while the machine does not tell: all other numbers must still be had."""
    try:
        return read()
    except (OSError, RuntimeError):  # no open files left; a GPU that has failed
        return math.nan


def _resident_bytes(processes: list[psutil.Process]) -> float:
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue  # it has ended meanwhile
    return float(total)


def _gpu_used_bytes() -> float:
    # Of the device and not of PyTorch's allocator, which knows nothing of TensorRT's memory.
    free_bytes, total_bytes = torch.cuda.mem_get_info()
    return float(total_bytes - free_bytes)
