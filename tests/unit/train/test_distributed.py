"""One process; what needs two is in tests/integration/test_training.py."""

from __future__ import annotations

import pytest
import torch

from lsm_train.distributed import (
    broadcast_flag,
    joined_processes,
    sum_over_processes,
    wait_for_all,
)
from lsm_train.errors import RunError


@pytest.fixture(autouse=True)
def _without_torchrun_and_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_without_torchrun_there_is_one_process_which_writes() -> None:
    with joined_processes("auto") as process:
        assert (process.rank, process.count, process.is_main) == (0, 1, True)
        assert process.device == torch.device("cpu")


@pytest.mark.parametrize("flag", [True, False])
def test_a_process_alone_waits_for_nobody_and_agrees_with_itself(*, flag: bool) -> None:
    with joined_processes("cpu") as process:
        wait_for_all(process)
        assert broadcast_flag(process, flag=flag) is flag
        numbers = torch.arange(3)
        sum_over_processes(numbers)
        assert numbers.tolist() == [0, 1, 2]


def test_cuda_where_there_is_none_is_refused_with_the_way_out() -> None:
    with pytest.raises(RunError, match=r"--device cuda: .* use cpu"), joined_processes("cuda"):
        pass
