"""The daemon's memory as a gauge: the leak nobody sees is the one that ends in the night.

The limit itself is the unit's ``MemoryMax``: the kernel enforces it, whatever this process
has become.
"""

from __future__ import annotations

import psutil

from lsm_monitor.metrics import Metrics


def watch_memory(metrics: Metrics) -> None:
    """Have the gauge read the memory whenever somebody asks for it."""
    process = psutil.Process()
    metrics.resident_bytes.labels("daemon").set_function(lambda: _resident_bytes([process]))
    metrics.resident_bytes.labels("children").set_function(
        lambda: _resident_bytes(process.children(recursive=True))
    )


def _resident_bytes(processes: list[psutil.Process]) -> float:
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue  # it has ended meanwhile
    return float(total)
