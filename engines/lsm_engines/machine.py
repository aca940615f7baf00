"""What this machine is, and how fast it multiplies at best."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from lsm_engines.api import Precision

_CPU_INFO = Path("/proc/cpuinfo")
_SIDES = MappingProxyType(
    {"cpu": 1024, "cuda": 8192}
)  # large enough to be limited by arithmetic
_DTYPES: Mapping[Precision, torch.dtype] = MappingProxyType(
    {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What a measurement is true for.

    Attributes:
        cpu: Model of the processor and its widest instructions.
        cores: How many this process may use.
        gpu: Model of the first CUDA device and the driver's CUDA; ``None`` without one.
    """

    cpu: str
    cores: int
    gpu: str | None

    def __str__(self) -> str:
        """Return it in a line."""
        cpu = f"{self.cores} cores of {self.cpu}"
        return cpu if self.gpu is None else f"{self.gpu}, {cpu}"


def this_machine() -> Machine:
    """Return the machine that runs this process."""
    gpu = None
    if torch.cuda.is_available():
        gpu = f"{torch.cuda.get_device_name(0)} (CUDA {torch.version.cuda})"
    # Virtual machines of different hosts are called the same: "AMD EPYC".
    cpu = f"{_cpu_model()} ({torch.backends.cpu.get_cpu_capability()})"
    return Machine(cpu, usable_cores(), gpu)


def usable_cores() -> int:
    """Return how many cores this process may use: taskset and containers take some away."""
    return len(os.sched_getaffinity(0))


def peak_flops(device: str, precision: Precision, *, seconds: float = 1.0) -> float:
    """Return the rate of PyTorch's products: what a network could reach at best.

    The better of a matrix product and a convolution of 1 x 1 pixels, which is one, too: on an
    AMD processor PyTorch's float32 matrix product was half as fast as its convolution.

    Args:
        device: ``cpu`` or ``cuda``.
        precision: Arithmetic of the product.
        seconds: How long to try.

    Returns:
        Floating-point operations per second, the best of all tries.
    """
    side, dtype = _SIDES[device], _DTYPES[precision]
    left, right = torch.rand(2, side, side, device=device).to(dtype)
    picture = left.view(1, side, -1, 32).contiguous(memory_format=torch.channels_last)
    kernel = right[..., None, None]
    products = (lambda: left @ right, lambda: F.conv2d(picture, kernel))
    with torch.inference_mode():
        for product in products:
            product()  # sets the library up
        until_s = time.perf_counter() + seconds
        best_s = min(_time_s(product, device) for product in products)
        while time.perf_counter() < until_s:
            best_s = min(best_s, *(_time_s(product, device) for product in products))
    return 2 * side**3 / best_s


def _time_s(product: Callable[[], object], device: str) -> float:
    _wait(device)
    started_s = time.perf_counter()
    product()
    _wait(device)
    return time.perf_counter() - started_s


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", _CPU_INFO.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
