"""``lsm-train adapt``: a deployed bundle, fitted to a city's own cameras.

Everything is read and checked first, then trained, then judged as it would be loaded; only a
model that passes the guard becomes a bundle.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import platform
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

import lsm_monitor
from lsm_monitor.errors import BundleError
from lsm_monitor.model.build import official_checkpoint
from lsm_monitor.model.bundle import (
    FILES,
    Bundle,
    Manifest,
    load_bundle,
    publish_bundle,
    save_bundle,
    stored_state,
)
from lsm_monitor.model.bundle_files import check_replaceable
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.preprocess import Preprocessor
from lsm_monitor.model.sam_vit import SamVit
from lsm_train.adapt_config import AdaptRecipe
from lsm_train.adaptation import Adaptation, Views, merge_updates
from lsm_train.city import CityPictures
from lsm_train.distributed import DeviceName, find_device
from lsm_train.errors import GuardError, RecipeError, RunError
from lsm_train.guard import GuardReport, compare
from lsm_train.optimise import learning_rate_factor, optimiser_of
from lsm_train.samples import batches_of

logger = logging.getLogger(__name__)

REPORT_SUFFIX = ".report.json"
_LOG_EVERY = 10


def train(
    model: LsmAdapter,
    city: CityPictures,
    recipe: AdaptRecipe,
    *,
    seed: int,
    device: DeviceName = "auto",
) -> LsmAdapter:
    """Return the fitted model, on the CPU, with its updates not yet merged.

    Args:
        model: The deployed one; left as it is.
        city: What to learn from.
        recipe: How.
        seed: Of everything left to chance.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        RunError: The loss is no longer finite, or there is no such device.
    """
    size_px = recipe.train_size_px
    preprocessor = model.preprocessor
    if isinstance(model.encoder.image_encoder, SamVit):
        size_px = preprocessor.input_size_px  # its position tables have one size
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    place = find_device(device)
    adaptation = Adaptation(model.to(place), recipe)
    optimiser = optimiser_of(
        [{"params": adaptation.learned, "base": recipe.optimiser.learning_rate}],
        recipe.optimiser,
    )
    scaled = Preprocessor(size_px, preprocessor.normalisation, preprocessor.equalisation)
    for step, views in enumerate(_batches(city, recipe, scaled, seed)):
        factor = learning_rate_factor(step, recipe.steps, recipe.optimiser)
        for group in optimiser.param_groups:
            group["lr"] = group["base"] * factor
        optimiser.zero_grad()
        loss = adaptation.loss(views.to(place))
        if not math.isfinite(float(loss.detach())):
            msg = f"step {step}: the loss is {float(loss)}; lower optimiser.learning_rate"
            raise RunError(msg)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(adaptation.learned, recipe.optimiser.max_gradient_norm)
        optimiser.step()
        adaptation.move_teacher(step)
        if step % _LOG_EVERY == 0:
            logger.info("step %d of %d: loss %.3f", step, recipe.steps, float(loss.detach()))
    return adaptation.result().cpu()


def _batches(
    city: CityPictures, recipe: AdaptRecipe, preprocessor: Preprocessor, seed: int
) -> Iterator[Views]:
    rng = np.random.default_rng(seed)
    groups = [group for group in (city.labelled, city.frames) if group]

    def make() -> Views:
        chosen = []
        for _ in range(recipe.batch_size):
            is_labelled = rng.random() < recipe.labelled_share
            group = groups[0 if is_labelled else -1]
            chosen.append(group[int(rng.integers(len(group)))])
        return Views.of(chosen, preprocessor, rng)

    return batches_of(make, recipe.steps)


def adapt(
    base: Bundle,
    city: CityPictures,
    recipe: AdaptRecipe,
    *,
    out: Path,
    about: Mapping[str, str],
    seed: int,
    device: DeviceName = "auto",
) -> Manifest:
    """Fit a bundle, judge it, and write it to ``out`` if it is not worse.

    The report of the guard is written beside it, ``OUT.report.json``, in either case.

    Args:
        base: The deployed bundle.
        city: Pictures of its cameras.
        recipe: How.
        out: Folder of the new bundle; replaced.
        about: ``name`` and ``version`` of the new bundle, ``site`` and ``licence`` of the
            pictures.
        seed: Of everything left to chance.
        device: As for :func:`train`.

    Raises:
        RecipeError: The recipe does not fit the bundle.
        RunError: Training failed.
        GuardError: The fitted model is worse; no bundle was written.
        BundleError: The bundle cannot be written.
    """
    _check(base, about)
    check_replaceable(out, FILES)
    with _folder_beside(out) as candidate:
        fitted = train(base.model, city, recipe, seed=seed, device=device)
        base.model.cpu()
        manifest = write(base, fitted, candidate, city, recipe, about=about, seed=seed)
        # As the daemon would load it: rounded, merged, checked.
        report = compare(
            base.model,
            load_bundle(candidate).model,
            city.guard,
            water_rule=base.manifest.water_rule,
            settings=recipe.guard,
        )
        _write_report(out, report)
        if report.objections:
            msg = (
                f"the fitted model is worse and was not written: {'; '.join(report.objections)}"
                f"; the figures are in {report_path(out)}"
            )
            raise GuardError(msg)
        publish_bundle(candidate, out)
    return manifest


@contextlib.contextmanager
def _folder_beside(out: Path) -> Iterator[Path]:
    """Give a folder for what may become ``out``; made before the work, deleted after it."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=out.parent, prefix=".adapt-")
    except OSError as exc:
        msg = f"{out}: cannot write the bundle ({exc.strerror}); choose another folder"
        raise BundleError(msg) from exc
    with temporary as folder:
        yield Path(folder, "bundle")


def _check(base: Bundle, about: Mapping[str, str]) -> None:
    """Tell before the work what would spoil it after."""
    names = {"name": about["name"], "version": about["version"]}
    try:
        Manifest.model_validate(base.manifest.model_dump() | names)
    except ValidationError as exc:
        problems = (f"{error['loc'][0]}: {error['msg']}" for error in exc.errors())
        raise RecipeError("; ".join(problems)) from exc
    has_official = official_checkpoint(base.manifest.parts) is not None
    if has_official and base.manifest.lineage is not None:
        msg = (
            f"bundle {base.manifest.name!r} was fitted before; fit the one it came from, "
            f"{base.manifest.lineage.name} {base.manifest.lineage.version}, to all pictures"
        )
        raise RecipeError(msg)


def write(
    base: Bundle,
    fitted: LsmAdapter,
    folder: Path,
    city: CityPictures,
    recipe: AdaptRecipe,
    *,
    about: Mapping[str, str],
    seed: int,
) -> Manifest:
    """Write the fitted model as a bundle that says where it comes from."""
    old = base.manifest
    has_official = official_checkpoint(old.parts) is not None
    merge_updates(fitted, encoder=not has_official)
    manifest: dict[str, object] = {
        **old.model_dump(exclude={"format_version", "weights", "lineage", "metrics"}),
        "name": about["name"],
        "version": about["version"],
        "trained_on": (
            *(section.model_dump() for section in old.trained_on),
            {
                "name": about["site"],
                "licence": about["licence"],
                "pictures": sum(city.counts.values()),
            },
        ),
        "metrics": {},  # those of the base are not this one's
        "software": {
            "lsm-monitor": lsm_monitor.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "adapt_seed": str(seed),
        },
        "lineage": {
            "name": old.name,
            "version": old.version,
            "sha256": old.weights.sha256,
            "rank": recipe.rank,
            "pictures": city.counts,
        },
    }
    return save_bundle(folder, manifest, stored_state(old.parts, fitted))


def report_path(out: Path) -> Path:
    """Return the path of the guard's report on what was, or was not, written to ``out``."""
    return out.with_name(out.name + REPORT_SUFFIX)


def _write_report(out: Path, report: GuardReport) -> None:
    text = json.dumps(report.as_json(), indent=2) + "\n"
    report_path(out).write_text(text, encoding="utf-8")
