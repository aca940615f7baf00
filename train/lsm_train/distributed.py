"""One process or many: what the trainer must know of ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist

from lsm_train.errors import RunError

DeviceName = Literal["auto", "cpu", "cuda"]

# How long processes wait for one another. The others wait while the main one labels pictures
# or validates; NCCL's own 10 minutes may be too short for that.
_PATIENCE = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Process:
    """This process among those of the run.

    Attributes:
        rank: 0 writes files and validates; the others only train.
        count: Number of processes.
        device: Where this process computes.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0


def find_device(name: DeviceName) -> torch.device:
    """Return the device that is meant: ``auto`` takes CUDA where it is.

    Raises:
        RunError: There is no CUDA device.
    """
    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        msg = "--device cuda: this machine has no CUDA device that torch can use; use cpu"
        raise RunError(msg)
    if name == "auto":
        name = "cuda" if has_cuda else "cpu"
    return torch.device(name)


@contextmanager
def joined_processes(device: DeviceName) -> Iterator[Process]:
    """Join the processes that ``torchrun`` has started; without it, be the only one.

    Args:
        device: ``cpu``, ``cuda``, or ``auto`` for CUDA where it is.

    Raises:
        RunError: There is no CUDA device.
    """
    chosen = find_device(device)
    if "WORLD_SIZE" not in os.environ:
        yield Process(0, 1, chosen)
        return
    is_cuda = chosen.type == "cuda"
    if is_cuda:
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if is_cuda else "gloo", timeout=_PATIENCE)
    try:
        yield Process(dist.get_rank(), dist.get_world_size(), chosen)
    finally:
        dist.destroy_process_group()


def sum_over_processes(tensor: torch.Tensor) -> None:
    """Replace ``tensor`` by its sum over all processes."""
    if dist.is_initialized():
        dist.all_reduce(tensor)


def wait_for_all(process: Process) -> None:
    """Return once every process has come here."""
    if process.count > 1:
        dist.barrier()


def broadcast_flag(process: Process, *, flag: bool) -> bool:
    """Return the main process's ``flag`` in every process."""
    if process.count == 1:
        return flag
    shared = torch.tensor(int(flag), device=process.device)
    dist.broadcast(shared, src=0)
    return bool(shared)
