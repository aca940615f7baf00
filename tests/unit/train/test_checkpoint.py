"""A run's folder: what is in it, who may go on with it, what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_train.checkpoint import (
    Progress,
    Run,
    load_checkpoint,
    load_progress,
    open_run,
    read_run,
    save_checkpoint,
    save_progress,
    write_atomically,
)
from lsm_train.config import Recipe
from lsm_train.errors import RunError
from lsm_train.log import EpochLog
from lsm_train.stages import trained_state

ROW = EpochLog(
    epoch=3,
    steps=8,
    learning_rate=1e-3,
    loss=0.5,
    elapsed_s=1.5,
    val_iou=0.25,
    val_precision=0.5,
    val_recall=0.25,
    val_alarm_share=0.0,
)


def test_a_run_is_found_again_as_it_was_asked_for(tmp_path: Path, recipe: Recipe) -> None:
    run = open_run(tmp_path / "run", recipe, seed=3)
    assert run == Run(tmp_path / "run", recipe, 3)
    assert read_run(tmp_path / "run") == run
    assert open_run(tmp_path / "run", recipe, seed=3) == run


def test_a_folder_with_another_seed_or_recipe_is_refused_with_the_way_out(
    tmp_path: Path, recipe: Recipe
) -> None:
    open_run(tmp_path, recipe, seed=3)
    other = recipe.model_copy(update={"train_size_px": 96})
    for asked, seed in ((recipe, 4), (other, 3)):
        with pytest.raises(RunError, match=r"another folder with --out, or delete it"):
            open_run(tmp_path, asked, seed)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"file/run: cannot be written .*with --out"):
        open_run(tmp_path / "file" / "run", recipe, seed=0)


@pytest.mark.parametrize("content", [None, "", "{}", "[1]"])
def test_a_folder_without_a_usable_run_says_what_makes_one(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=r"holds no usable run .*; run lsm-train fit"):
        read_run(tmp_path)


def test_a_run_with_a_recipe_of_another_version_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"seed": 1, "recipe": {"name": "old"}}')
    with pytest.raises(
        RunError, match=r"does not know \(version\); .*another folder"
    ) as caught:
        read_run(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_gives_its_stage_back_and_touches_nothing_else(
    tmp_path: Path, model: LsmAdapter
) -> None:
    with torch.no_grad():
        for tensor in trained_state("large", model).values():
            tensor.add_(1.0)
    wanted = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    (tmp_path / "large").mkdir()
    save_checkpoint(tmp_path / "large" / "best", "large", model, ROW)
    with torch.no_grad():
        for tensor in trained_state("large", model).values():
            tensor.zero_()
    assert load_checkpoint(tmp_path, "large", model) == ROW
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, wanted[key]), key


def test_a_missing_or_damaged_checkpoint_is_named(tmp_path: Path, model: LsmAdapter) -> None:
    (tmp_path / "large").mkdir()
    path = tmp_path / "large" / "best.safetensors"
    message = r"best\.safetensors: no usable checkpoint .*; delete .* and run lsm-train fit"
    with pytest.raises(RunError, match=message):
        load_checkpoint(tmp_path, "large", model)
    save_checkpoint(path.with_suffix(""), "large", model, ROW)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match=message):
        load_checkpoint(tmp_path, "large", model)


def test_a_checkpoint_of_another_model_is_refused_before_it_changes_anything(
    tmp_path: Path, model: LsmAdapter
) -> None:
    (tmp_path / "large").mkdir()
    save_checkpoint(tmp_path / "large" / "best", "large", model, ROW)
    path = tmp_path / "large" / "best.safetensors"
    state = safetensors.torch.load_file(path)
    key = next(iter(state))
    state[key] = torch.zeros(3, 1, 4)
    safetensors.torch.save_file(state, path)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(RunError, match=r"is of another model than this recipe's"):
        load_checkpoint(tmp_path, "large", model)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_a_stages_state_is_found_again(tmp_path: Path) -> None:
    assert load_progress(tmp_path) is None
    tensors = {"a": torch.arange(6.0).view(2, 3).T, "b": torch.tensor(7)}
    save_progress(tmp_path, Progress(tensors, 8, (ROW, ROW), is_finished=True))
    found = load_progress(tmp_path)
    assert found is not None
    assert (found.steps, found.log, found.is_finished) == (8, (ROW, ROW), True)
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[key], tensors[key]) for key in tensors)


def test_a_damaged_state_says_what_to_delete(tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"no tensors")
    with pytest.raises(RunError, match=rf"cannot be read .*; delete {tmp_path} to train"):
        load_progress(tmp_path)


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        write_atomically(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / ".file.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
