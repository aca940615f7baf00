"""Files of a run: checkpoints for people and programs, and the state for going on.

RUN/run.json                        recipe and seed
RUN/STAGE/best.safetensors, .json   weights that the stage has learned, at its best epoch
RUN/STAGE/last.safetensors, .json   the same after its last epoch
RUN/STAGE/state.safetensors         everything needed to go on after an interruption
RUN/small/early_labels.npz, final_  what the small model has labelled for self-training
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_train.config import Recipe
from lsm_train.errors import RunError
from lsm_train.log import EpochLog
from lsm_train.stages import StageName, trained_state

RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder, and what was asked for in it.

    Attributes:
        folder: Holds all files of the run.
        recipe: What to do.
        seed: Of everything left to chance.
        pictures_sha256: Of the names of all pictures, by part (``train``, ``unlabelled``,
            ``val``): nothing that was trained on may ever be validated with.
    """

    folder: Path
    recipe: Recipe
    seed: int
    pictures_sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def stages(self) -> tuple[StageName, ...]:
        """The stages in the order in which they are trained."""
        order: tuple[StageName, ...] = ("small", "large", "joint", "one_stage")
        return tuple(name for name in order if getattr(self.recipe.stages, name) is not None)


def open_run(
    folder: Path, recipe: Recipe, seed: int, pictures_sha256: Mapping[str, str] | None = None
) -> Run:
    """Return the run in ``folder``, a new one or one to go on with.

    Raises:
        RunError: The folder holds another run, or cannot be written.
    """
    run = Run(folder, recipe, seed, pictures_sha256 or {})
    if (folder / RUN_FILE).exists():
        found = read_run(folder)
        if found != run:
            msg = (
                f"{folder}: holds a run with another recipe, seed or split; choose another "
                "folder with --out, or delete it"
            )
            raise RunError(msg)
        return run
    about = {
        "seed": seed,
        "pictures_sha256": dict(run.pictures_sha256),
        "recipe": recipe.model_dump(mode="json"),
    }
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / RUN_FILE, (json.dumps(about, indent=2) + "\n").encode())
    return run


def read_run(folder: Path) -> Run:
    """Return the run in ``folder``.

    Raises:
        RunError: There is none, or it cannot be read.
    """
    try:
        about = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        recipe = Recipe.model_validate(about["recipe"])
        return Run(folder, recipe, int(about["seed"]), dict(about["pictures_sha256"]))
    except ValidationError as exc:
        where = ".".join(map(str, exc.errors()[0]["loc"]))
        msg = (
            f"{folder}: holds a run whose recipe this lsm-train does not know ({where}); train "
            "it again in another folder"
        )
        raise RunError(msg) from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        msg = f"{folder}: holds no usable run ({exc}); run lsm-train fit"
        raise RunError(msg) from exc


def save_checkpoint(path: Path, stage: StageName, model: LsmAdapter, row: EpochLog) -> None:
    """Write ``path``.safetensors and ``path``.json."""
    state = {key: value.contiguous() for key, value in trained_state(stage, model).items()}
    write_atomically(path.with_suffix(".safetensors"), safetensors.torch.save(state))
    about = json.dumps(asdict(row), indent=2) + "\n"
    write_atomically(path.with_suffix(".json"), about.encode())


def load_checkpoint(folder: Path, stage: StageName, model: LsmAdapter) -> EpochLog:
    """Fill ``model`` with what a stage has learned at its best epoch.

    Raises:
        RunError: The checkpoint is missing, damaged or of another model.
    """
    path = folder / stage / "best.safetensors"
    try:
        state = safetensors.torch.load_file(path)
        row = EpochLog(**json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, SafetensorError) as exc:
        msg = (
            f"{path}: no usable checkpoint ({exc}); delete {path.parent} and run lsm-train fit"
        )
        raise RunError(msg) from exc
    expected = trained_state(stage, model)
    shapes = {key: tuple(value.shape) for key, value in expected.items()}
    if shapes != {key: tuple(value.shape) for key, value in state.items()}:
        msg = f"{path}: is of another model than this recipe's; train that stage again"
        raise RunError(msg)
    model.load_state_dict(state, strict=False)
    return row


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """How far a stage has come.

    Attributes:
        tensors: Everything that goes on changing, by name.
        steps: Updates of the weights so far.
        log: The epochs so far.
        is_finished: Whether the stage is over.
    """

    tensors: Mapping[str, torch.Tensor]
    steps: int
    log: tuple[EpochLog, ...]
    is_finished: bool


def save_progress(folder: Path, progress: Progress) -> None:
    """Write the state from which the stage can go on, in one step."""
    tensors = {key: value.contiguous() for key, value in progress.tensors.items()}
    about = {
        "steps": progress.steps,
        "log": [asdict(row) for row in progress.log],
        "is_finished": progress.is_finished,
    }
    # One file, because two could be of different epochs after a crash between them.
    data = safetensors.torch.save(tensors, {"progress": json.dumps(about)})
    write_atomically(folder / "state.safetensors", data)


def load_progress(folder: Path) -> Progress | None:
    """Return the state of a stage, or ``None`` when it has not begun.

    Raises:
        RunError: The state is damaged.
    """
    path = folder / "state.safetensors"
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["progress"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        log = tuple(EpochLog(**row) for row in about["log"])
        return Progress(tensors, about["steps"], log, about["is_finished"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as exc:
        msg = f"{path}: cannot be read ({exc}); delete {folder} to train the stage again"
        raise RunError(msg) from exc


def flatten_optimiser(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return an optimiser's state as named tensors; its settings come from the recipe."""
    return {
        f"optimiser.{index}.{name}": value
        for index, entry in optimiser.state_dict()["state"].items()
        for name, value in entry.items()
        if value is not None
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Undo :func:`flatten_optimiser`."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        kind, _, rest = key.partition(".")
        if kind == "optimiser":
            index, _, name = rest.partition(".")
            state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Translate what the disk says while a run's folder is written.

    Raises:
        RunError: Something cannot be written. What was there is still of use: called again,
            the run goes on after its last finished epoch.
    """
    try:
        yield
    except OSError as exc:
        msg = (
            f"{folder}: cannot be written ({exc.strerror or exc}); make room and run it again, "
            "or choose another folder with --out"
        )
        raise RunError(msg) from exc


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file in one step, so that it outlives a power cut; leaves nothing else.

    Raises:
        OSError: The disk refuses; the old content stands.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else some file systems rename before they write
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
