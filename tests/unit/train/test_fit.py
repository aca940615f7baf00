"""What a run does around its stages: pictures, self-made labels, stages of other runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_train import fit as module
from lsm_train.checkpoint import Progress, Run, open_run, save_progress
from lsm_train.config import Recipe, SelfTrainingSection
from lsm_train.data import DRY, IGNORED, WATER, Picture
from lsm_train.distributed import Process
from lsm_train.errors import DataError, RecipeError, RunError
from lsm_train.fit import Pictures, load_pictures
from lsm_train.samples import Source
from lsm_train.self_training import confident_labels, read_labels, self_label, write_labels
from lsm_train.stages import StageName
from tests.unit.model.models import shrink_sam
from tests.unit.train.conftest import EditRecipe

ALONE = Process(0, 1, torch.device("cpu"))
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def pictures(recipe: Recipe, shared_data: Path) -> Pictures:
    return load_pictures(recipe, shared_data)


def test_all_pictures_of_a_recipe_are_read_each_for_its_purpose(pictures: Pictures) -> None:
    assert {name: len(group) for name, group in pictures.labelled.items()} == {
        "roadway_dev": 2,
        "dry_lums": 2,
        "rendered": 2,
        "simulated": 4,
    }
    assert len(pictures.unlabelled) == 3
    assert [picture.name for picture in pictures.validation] == ["road_3"]


def test_a_missing_data_set_is_named(recipe: Recipe, data: Path) -> None:
    (data / "roadway_unlabelled").rename(data / "elsewhere")
    with pytest.raises(DataError, match="roadway_unlabelled: no such folder"):
        load_pictures(recipe, data)


def test_only_confident_pixels_are_labelled(recipe: Recipe) -> None:
    assert recipe.self_training is not None
    labels = confident_labels(torch.tensor([[0.1, 0.5, 0.9]]), recipe.self_training)
    assert labels.tolist() == [[DRY, IGNORED, WATER]]


def test_a_picture_and_its_mirror_image_get_mirrored_labels(
    recipe: Recipe, model: LsmAdapter
) -> None:
    assert recipe.self_training is not None
    settings = recipe.self_training.model_copy(
        update={"water_above": 0.5001, "dry_below": 0.4999}
    )
    small_model = model.eval().head.small_model
    assert small_model is not None
    with torch.no_grad():  # so that about half the pixels are water
        logits = small_model(torch.zeros(1, 3, 64, 64))
        small_model.get_parameter("pyramid.logits.bias").sub_(logits.median())
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (48, 64, 3), np.uint8)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    labels = np.zeros((48, 64), np.uint8)
    one, other = self_label(
        model, [Picture("", "a", image, labels), Picture("", "b", mirrored, labels)], settings
    )
    assert len(np.unique(one.labels)) > 1
    np.testing.assert_array_equal(one.labels, other.labels[:, ::-1])


def test_labels_are_found_again_as_they_were_written(
    tmp_path: Path, pictures: Pictures
) -> None:
    rng = np.random.default_rng(0)
    names = ("file", "allow_pickle", "stra\u00dfe 1.npy")  # what numpy has other uses for
    labelled = [
        Picture(p.dataset, name, p.image, rng.integers(0, 2, p.labels.shape, np.uint8))
        for p, name in zip(pictures.unlabelled, names, strict=True)
    ]
    write_labels(tmp_path / "labels.npz", labelled)
    found = read_labels(tmp_path / "labels.npz", labelled)
    for one, other in zip(found, labelled, strict=True):
        assert one.image is other.image
        np.testing.assert_array_equal(one.labels, other.labels)


class Labelling:
    """The sources of a run's stages, and how often the small model was asked for labels."""

    def __init__(self, run: Run, pictures: Pictures) -> None:
        self.run, self.pictures = run, pictures
        self.asked = 0

    def sources(self, stage: StageName) -> module._Sources:
        return module._Sources(self.run, stage, self.pictures, ALONE)


@pytest.fixture
def labelling(
    tmp_path: Path, recipe: Recipe, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> Labelling:
    run = open_run(tmp_path / "run", recipe, seed=0)
    (run.folder / "small").mkdir()
    result = Labelling(run, pictures)

    def count(
        model: LsmAdapter, pictures: Sequence[Picture], settings: SelfTrainingSection
    ) -> list[Picture]:
        result.asked += 1
        return self_label(model, pictures, settings)

    monkeypatch.setattr(module, "self_label", count)
    return result


def drawn(source: Source) -> Picture:
    return source.draw(np.random.default_rng(0))


def test_the_small_model_labels_pictures_from_the_wanted_epoch_on(
    labelling: Labelling, model: LsmAdapter
) -> None:
    model.eval()
    small = labelling.sources("small")
    own = len(labelling.run.recipe.sources)
    assert (len(small(0, model)), labelling.asked) == (own, 0)
    assert (len(small(1, model)), labelling.asked) == (own + 1, 1)
    assert (len(small(2, model)), labelling.asked) == (own + 1, 1)


def test_a_run_that_goes_on_learns_from_the_labels_it_had(
    labelling: Labelling, model: LsmAdapter
) -> None:
    model.eval()
    before = drawn(labelling.sources("small")(1, model)[-1])
    small_model = model.head.small_model
    assert small_model is not None
    with torch.no_grad():
        small_model.get_parameter("pyramid.logits.bias").add_(100.0)
    after = drawn(labelling.sources("small")(1, model)[-1])
    assert labelling.asked == 1
    np.testing.assert_array_equal(before.labels, after.labels)


def test_the_later_stages_share_the_labels_of_the_finished_small_model(
    labelling: Labelling, model: LsmAdapter
) -> None:
    model.eval()
    early = drawn(labelling.sources("small")(1, model)[-1])
    small_model = model.head.small_model
    assert small_model is not None
    with torch.no_grad():
        small_model.get_parameter("pyramid.logits.bias").add_(100.0)
    large = drawn(labelling.sources("large")(0, model)[-1])
    joint = drawn(labelling.sources("joint")(0, model)[-1])
    assert labelling.asked == 2
    assert (large.labels == WATER).all()
    assert not (early.labels == WATER).all()
    np.testing.assert_array_equal(large.labels, joint.labels)


def finish_stages(run: Run) -> None:
    for name in run.stages:
        folder = run.folder / name
        folder.mkdir()
        (folder / "best.json").write_text(name)
        save_progress(folder, Progress({}, 1, (), is_finished=True))


def taken_over(source: Path, target: Run) -> set[str]:
    module._take_over(source, target)
    return {path.name for path in target.folder.iterdir() if path.is_dir()}


def change_prompts(content: dict[str, Any]) -> None:
    content["model"]["spatial_prompt"] = {"kind": "box"}
    content["stages"]["joint"]["epochs"] = 5
    content["version"] = "0.0.2"


@pytest.mark.parametrize(
    ("change", "equal"),
    [
        pytest.param(change_prompts, {"small", "large"}, id="other-prompts"),
        pytest.param(
            lambda content: content["stages"]["large"].update(epochs=5), {"small"}, id="large"
        ),
        pytest.param(
            lambda content: content["model"].update(
                encoder_adapter={"kind": "he", "equalisation": "off"}
            ),
            {"small"},
            id="adapter",
        ),
        pytest.param(
            lambda content: content["model"].update(encoder_tuning={"kind": "full"}),
            {"small"},
            id="tuning",
        ),
        # Its labels teach the large model.
        pytest.param(
            lambda content: content["stages"]["small"].update(epochs=5), set(), id="small"
        ),
        pytest.param(
            lambda content: content["model"].update(small_model="u2netp"), set(), id="u2netp"
        ),
        pytest.param(lambda content: content.update(train_size_px=96), set(), id="size"),
        pytest.param(
            lambda content: content["sources"][0].update(share=2), set(), id="pictures"
        ),
    ],
)
def test_only_stages_that_both_recipes_ask_for_in_the_same_words_are_taken_over(
    change: Change, equal: set[str], tmp_path: Path, recipe: Recipe, edit_recipe: EditRecipe
) -> None:
    finish_stages(open_run(tmp_path / "one", recipe, seed=0))
    other = open_run(tmp_path / "other", edit_recipe(change), seed=0)
    assert taken_over(tmp_path / "one", other) == equal


def test_without_labels_of_its_own_the_large_model_learns_the_same_beside_any_small_one(
    tmp_path: Path, edit_recipe: EditRecipe
) -> None:
    def without_labels(content: dict[str, Any]) -> None:
        content["self_training"] = None

    def beside_another(content: dict[str, Any]) -> None:
        content["self_training"] = None
        content["model"]["small_model"] = "u2netp"

    finish_stages(open_run(tmp_path / "one", edit_recipe(without_labels), seed=0))
    other = open_run(tmp_path / "other", edit_recipe(beside_another), seed=0)
    assert taken_over(tmp_path / "one", other) == {"large"}


def test_unfinished_stages_are_not_taken_over_and_begun_ones_not_replaced(
    tmp_path: Path, recipe: Recipe
) -> None:
    one = open_run(tmp_path / "one", recipe, seed=0)
    finish_stages(one)
    save_progress(one.folder / "large", Progress({}, 1, (), is_finished=False))
    other = open_run(tmp_path / "other", recipe, seed=0)
    (other.folder / "small").mkdir()
    assert taken_over(one.folder, other) == {"small"}
    assert not list((other.folder / "small").iterdir())


def test_a_take_over_that_was_interrupted_is_done_anew(tmp_path: Path, recipe: Recipe) -> None:
    one = open_run(tmp_path / "one", recipe, seed=0)
    finish_stages(one)
    other = open_run(tmp_path / "other", recipe, seed=0)
    (other.folder / ".small.new").mkdir()
    (other.folder / ".small.new" / "half").touch()
    assert taken_over(one.folder, other) == {"small", "large"}
    names = {path.name for path in (other.folder / "small").iterdir()}
    assert names == {"best.json", "state.safetensors"}


def test_stages_of_a_run_with_another_seed_are_refused(tmp_path: Path, recipe: Recipe) -> None:
    open_run(tmp_path / "one", recipe, seed=4)
    other = open_run(tmp_path / "other", recipe, seed=0)
    with pytest.raises(RunError, match=r"one: was run with seed 4, not 0; .*--seed"):
        module._take_over(tmp_path / "one", other)


def test_stages_of_a_run_on_another_split_are_refused(tmp_path: Path, recipe: Recipe) -> None:
    open_run(tmp_path / "one", recipe, seed=0, pictures_sha256={"val": "a"})
    other = open_run(tmp_path / "other", recipe, seed=0, pictures_sha256={"val": "b"})
    with pytest.raises(RunError, match=r"one: was run on other pictures .* without --reuse"):
        module._take_over(tmp_path / "one", other)
    with pytest.raises(RunError, match="another recipe, seed or split"):
        open_run(tmp_path / "one", recipe, seed=0, pictures_sha256={"val": "b"})


def test_a_picture_that_moves_to_another_part_changes_the_digest(pictures: Pictures) -> None:
    moved = Pictures(pictures.labelled, pictures.validation, pictures.unlabelled)
    assert moved.sha256 != pictures.sha256
    again = Pictures(
        {name: pictures.labelled[name] for name in sorted(pictures.labelled, reverse=True)},
        pictures.unlabelled[::-1],
        pictures.validation[::-1],
    )
    assert again.sha256 == pictures.sha256


def test_sams_encoder_is_trained_at_its_own_size_only(
    edit_recipe: EditRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_sam(monkeypatch)

    def change(content: dict[str, Any]) -> None:
        content["model"]["image_encoder"] = "sam_vit_b"
        content["train_size_px"] = content["model"]["input_size_px"] + 32

    with pytest.raises(RecipeError, match=r"train_size_px must equal model\.input_size_px"):
        module._build(edit_recipe(change), seed=0)


def test_models_of_one_seed_are_equal_and_of_two_are_not(recipe: Recipe) -> None:
    one, same, other = (module._build(recipe, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(tensor, same[key]) for key, tensor in one.items())
    assert any(not torch.equal(tensor, other[key]) for key, tensor in one.items())


def test_only_sam_encoders_save_memory_by_computing_twice(recipe: Recipe) -> None:
    asked = recipe.model_copy(update={"checkpoint_blocks": True})
    with pytest.raises(RecipeError, match=r"checkpoint_blocks: only SAM encoders"):
        module._build(asked, seed=0)
