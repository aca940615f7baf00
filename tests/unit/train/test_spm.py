"""Prompts between the stages: what they learn from, and a run from the recipe to the daemon."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.model import build
from lsm_monitor.model.bundle import load_bundle, save_bundle, stored_state
from lsm_monitor.model.parts import MatcherParts
from lsm_monitor.model.postprocess import logits_to_frame
from lsm_monitor.model.prompt_matcher import StageMatchers
from lsm_monitor.types import CameraId, Frame, FrameStamp
from lsm_train.class_loss import WATER_ALONE, ClassTeaching, class_frequencies, interim_loss
from lsm_train.config import LossesSection, Recipe
from lsm_train.data import DRY, IGNORED, WATER, Picture
from lsm_train.export import export
from lsm_train.fit import fit
from lsm_train.recipe_file import load_recipe
from lsm_train.stages import Stage, StageName
from lsm_train.surfaces import ROAD, WET_ROAD
from tests.unit.model.models import noise
from tests.unit.model.test_prompt_matcher import STAGES, TWO_STAGES, matched, teach
from tests.unit.train.conftest import REPOSITORY, EditRecipe

RECIPES = REPOSITORY / "config" / "train"


def labels() -> torch.Tensor:
    values = torch.full((2, 64, 64), DRY, dtype=torch.uint8)
    values[:, 32:] = WATER
    values[0, :, :10] = IGNORED
    return values


def test_the_interim_loss_is_equation_5() -> None:
    torch.manual_seed(0)
    maps = {2: [torch.randn(2, 2, 16, 16) for _ in range(3)], 5: [torch.randn(2, 2, 4, 4)]}
    published = LossesSection().interim
    assert published == (0.05, 0.1, 0.2, 0.3, 0.4)
    expected = torch.zeros(())
    target = labels().long()
    for number, share in ((2, 0.1 / 3), (5, 0.4 / 1)):
        for scores in maps[number]:
            resized = F.interpolate(scores, (64, 64), mode="bilinear", align_corners=False)
            expected += share * F.cross_entropy(resized, target, ignore_index=IGNORED)
    found = interim_loss(maps, labels(), WATER_ALONE, published)
    torch.testing.assert_close(found, expected)


def test_a_label_that_leaves_several_classes_teaches_their_sum() -> None:
    teaching = ClassTeaching.of_classes(("other", "dry_road", "wet_road", "water", "vehicle"))
    scores = torch.randn(1, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    road = torch.full((1, 8, 8), ROAD, dtype=torch.uint8)
    found = interim_loss({1: [scores]}, road, teaching, (1.0,))
    expected = -scores.softmax(1)[:, 1:3].sum(1).log().mean()
    torch.testing.assert_close(found, expected)


def test_pictures_without_labels_cost_nothing() -> None:
    nothing = torch.full((1, 8, 8), IGNORED, dtype=torch.uint8)
    scores = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = interim_loss({1: [scores]}, nothing, WATER_ALONE, (1.0,))
    (gradient,) = torch.autograd.grad(loss, scores)
    assert loss.item() == 0.0
    assert not gradient.any()
    assert interim_loss({}, labels(), WATER_ALONE, (1.0,)).item() == 0.0


def picture(values: np.ndarray, surface: np.ndarray | None = None) -> Picture:
    image = np.zeros((*values.shape, 3), np.uint8)
    return Picture("made", "up", image, values.astype(np.uint8), surface=surface)


def test_the_first_map_is_the_share_of_each_class_in_the_training_set() -> None:
    quarter = np.array([[WATER, DRY], [DRY, DRY]])
    half = np.array([[WATER, DRY, IGNORED, IGNORED]])
    found = class_frequencies([picture(quarter), picture(quarter)], WATER_ALONE)
    torch.testing.assert_close(found, torch.tensor([0.75, 0.25]))
    found = class_frequencies([picture(quarter), picture(half)], WATER_ALONE)
    torch.testing.assert_close(found, torch.tensor([(0.75 + 0.25) / 1.5, (0.25 + 0.25) / 1.5]))
    assert class_frequencies([], WATER_ALONE).tolist() == [0.5, 0.5]


def test_what_may_be_several_classes_is_shared_out_evenly() -> None:
    teaching = ClassTeaching.of_classes(("other", "dry_road", "wet_road", "water", "vehicle"))
    surface = np.array([[ROAD, WET_ROAD]], np.uint8)
    found = class_frequencies([picture(np.array([[DRY, DRY]]), surface)], teaching)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.25, 0.75, 0.0, 0.0]))


@pytest.mark.parametrize("encoder", STAGES)
def test_gradients_reach_every_matcher_parameter_and_no_frozen_one(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "VIT_SIZES", dict.fromkeys("blh", TWO_STAGES))
    model = matched(encoder)
    adapter = model.encoder.adapter
    assert adapter is not None
    stage = Stage("large", model, LossesSection())
    stage.set_training_mode()
    teach(adapter)  # what starts at zero hides what comes before it
    frozen = {key: p.clone() for key, p in model.encoder.image_encoder.state_dict().items()}
    stage(noise(2), noise(2), labels()).backward()
    silent = {k for k, p in adapter.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent == set()
    assert all(p.grad is None for p in model.encoder.image_encoder.parameters())
    after = model.encoder.image_encoder.state_dict()
    assert all(torch.equal(p, after[key]) for key, p in frozen.items())


def test_matchers_learn_in_float32_because_their_gradients_do_not_survive_bfloat16() -> None:
    model = matched("efficientnet_lite0")
    stages: tuple[StageName, ...] = ("large", "one_stage", "joint")
    found = [Stage(name, model, LossesSection()).trains_in_bf16 for name in stages]
    assert found == [False, False, True]


def test_without_the_interim_losses_the_maps_are_learned_through_the_prompts_alone() -> None:
    model = matched("efficientnet_lite0", prompted_stages=[5], recurrences=1)
    adapter = model.encoder.adapter
    assert adapter is not None
    for interim, is_taught in (((0.0,) * 5, False), (LossesSection().interim, True)):
        stage = Stage("large", model, LossesSection(interim=interim))
        stage(noise(2), noise(2), labels()).backward()
        scores = adapter.get_parameter("before.5.semantic.4.weight")
        assert scores.grad is not None
        assert bool(scores.grad.any()) == is_taught  # a fresh prompt weight passes nothing on
        model.zero_grad()


@pytest.mark.parametrize(
    ("name", "stages", "recurrences"),
    [("spm.yaml", (2, 3, 4, 5), 1), ("ablation/spm_stages_2_5.yaml", (2, 3, 4, 5), 1)]
    + [(f"ablation/spm_stages_{n}.yaml", (*range(1, n + 1),), 1) for n in range(1, 6)]
    + [(f"ablation/spm_r{r}.yaml", (1, 2, 3, 4), r) for r in (2, 3)],
)
def test_a_recipe_says_which_stages_are_prompted_and_how_often(
    name: str, stages: tuple[int, ...], recurrences: int
) -> None:
    adapter = load_recipe(RECIPES / name).model.encoder_adapter
    assert isinstance(adapter, MatcherParts)
    assert (adapter.prompted_stages, adapter.recurrences) == (stages, recurrences)


def test_the_rows_without_matchers_differ_in_their_adapter_alone() -> None:
    none, he, spm = (
        load_recipe(RECIPES / "ablation" / f"spm_{row}.yaml")
        for row in ("none", "he", "stages_4")
    )
    assert none.model.encoder_adapter is None
    assert he.model.encoder_adapter is not None
    assert he.model.encoder_adapter.kind == "he"
    for other in (none, he):
        parts = other.model.model_copy(update={"encoder_adapter": spm.model.encoder_adapter})
        same = other.model_copy(update={"name": spm.name, "model": parts})
        assert same == spm


def _matchers_alone(content: dict[str, Any]) -> None:
    content["model"] |= dict.fromkeys(("small_model", "spatial_prompt", "semantic_prompt"))
    content["model"] |= {"style_prompt": False, "prompt_combiner": False, "small_model_say": 0}
    content["model"]["encoder_adapter"] = {"kind": "spm", "prompted_stages": [2, 5]}
    large = content["stages"]["large"] | {"epochs": 1, "steps_per_epoch": 1}
    content["stages"] = {"large": large}
    content["sources"] = content["sources"][:1]
    content["rendered"] = content["simulated"] = content["self_training"] = None
    content["licences"].pop("roadway_unlabelled")


@pytest.fixture(scope="module")
def recipe(edit_recipe: EditRecipe) -> Recipe:
    return edit_recipe(_matchers_alone)


@pytest.mark.slow
def test_a_run_becomes_a_bundle_that_the_daemon_runs_in_stages(
    recipe: Recipe, shared_data: Path, tmp_path: Path
) -> None:
    fit(recipe, data=shared_data, out=tmp_path / "run", seed=0, device="cpu")
    manifest = export(tmp_path / "run", data=shared_data, out=tmp_path / "bundle")
    model = load_bundle(tmp_path / "bundle").model
    adapter = model.encoder.adapter
    assert isinstance(adapter, StageMatchers)
    # Of two pictures, half under water each.
    torch.testing.assert_close(adapter.frequencies, torch.tensor([0.5, 0.5]), atol=0.02, rtol=0)
    teach(adapter, std=0.05)  # more than a step of training did
    fields = manifest.model_dump(exclude={"format_version", "weights"})
    save_bundle(tmp_path / "taught", fields, stored_state(manifest.parts, model))
    segmenter = Segmenter.open(
        str(tmp_path / "taught"), backend="torch", device="cpu", threads=0, max_batch=2
    )
    stamp = FrameStamp(CameraId("here"), 0, 0, None, datetime.now(UTC), 0.0)
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    segmenter.warm_up()
    (mask,) = segmenter.segment([Frame(stamp, image)])
    segmenter.close()
    model = load_bundle(tmp_path / "taught").model
    prepared = model.preprocessor(image)
    with torch.inference_mode():
        logits = model(prepared.image[None], prepared.equalised[None]).logits
        plain = model.head(
            prepared.image[None],
            prepared.image[None],
            model.encoder.image_encoder(prepared.image[None]),
        ).logits
    expected = logits_to_frame(logits, prepared.letterbox, (64, 64))[0, 0].numpy()
    np.testing.assert_allclose(manifest.water_rule.apply(expected), mask.probability, atol=1e-3)
    assert not torch.allclose(logits, plain)
    assert segmenter.identity.backend == "torch-fp32"
