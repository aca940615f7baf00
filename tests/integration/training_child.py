"""``lsm-train fit`` as one of several processes, telling what it did.

training_child.py RECIPE DATA OUT REPORTS    writes REPORTS/RANK.json
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "train"), str(ROOT / "engines")]

from lsm_monitor.model.lsm_adapter import LsmAdapter  # noqa: E402
from lsm_train import fit as module  # noqa: E402
from lsm_train.checkpoint import Run  # noqa: E402
from lsm_train.data import Picture  # noqa: E402
from lsm_train.distributed import Process  # noqa: E402
from lsm_train.loop import Sources, train_stage  # noqa: E402
from lsm_train.recipe_file import load_recipe  # noqa: E402
from lsm_train.stages import StageName  # noqa: E402

recipe, data, out, reports = map(Path, sys.argv[1:])
digests: dict[str, str] = {}
is_finite: dict[str, bool] = {}
written: list[str] = []


def digest(model: LsmAdapter) -> str:
    """Return a hash of all parameters and of the prototypes; not of batch norm's statistics,
    which every process gathers from its own pictures."""
    tensors = dict(model.named_parameters())
    assert model.head.semantic_prompter is not None
    tensors["prototypes"] = torch.nn.Parameter(model.head.semantic_prompter.prototypes)
    content = b"".join(tensors[name].detach().numpy().tobytes() for name in sorted(tensors))
    return hashlib.sha256(content).hexdigest()


def trained_and_told(
    run: Run,
    name: StageName,
    model: LsmAdapter,
    *,
    sources: Sources,
    validation: Sequence[Picture],
    process: Process,
) -> None:
    train_stage(run, name, model, sources=sources, validation=validation, process=process)
    digests[name] = digest(model)
    is_finite[name] = all(bool(torch.isfinite(p).all()) for p in model.parameters())


def note_writing(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and str(arguments[0]).startswith(str(out)):
        flags = arguments[2]
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
            written.append(str(arguments[0]))


sys.addaudithook(note_writing)
vars(module)["train_stage"] = trained_and_told
module.fit(load_recipe(recipe), data=data, out=out, seed=0, device="cpu")
report = {"digests": digests, "is_finite": is_finite, "written": written}
rank = os.environ["RANK"]
(reports / f"{rank}.json").write_text(json.dumps(report))
