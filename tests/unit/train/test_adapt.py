"""``lsm-train adapt`` from end to end on rendered streets, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_style import random_style
from lsm_monitor.errors import BundleError
from lsm_monitor.model.bundle import Bundle, load_bundle, save_bundle, stored_state
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.small_lite import SmallLite
from lsm_train import adapt as adapt_module
from lsm_train.adapt import adapt
from lsm_train.adapt_config import AdaptRecipe, GuardSection
from lsm_train.city import CityPictures, read_city
from lsm_train.distributed import DeviceName
from lsm_train.errors import DataError, RecipeError
from tests.unit.model.models import EVERYTHING, MANIFEST, lively_model
from tests.unit.train.test_cli import call

# Large steps: what two small ones change is less than a bundle's weights are rounded by.
TINY = AdaptRecipe.model_validate(
    {
        "steps": 2,
        "batch_size": 2,
        "train_size_px": 64,
        "optimiser": {"kind": "adam", "learning_rate": 0.05},
        "teacher_decay": 0,
        "guard": {"held_out_share": 0.5},
    }
)
PARTS = EVERYTHING.model_copy(update={"small_model_say": 0.5})
LENIENT = {"tolerated_iou_loss": 1, "tolerated_alarm_rise": 1, "least_agreement": 0}
STREET = StreetScene(random_style(7))
ABOUT = {"name": "tiny", "version": "2", "site": "town", "licence": "CC0"}


def write_street(folder: Path, name: str, level: float) -> None:
    image, water = STREET.render(level, 1.0)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    small = cv2.resize(image, (96, 64), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(water.astype(np.uint8), (96, 64), interpolation=cv2.INTER_NEAREST) * 255
    cv2.imwrite(str(folder / "images" / f"{name}.jpg"), small[..., ::-1])
    cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)


@pytest.fixture(scope="module")
def city_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames and weak labels of a town's cameras, and a guard set beside them."""
    folder = tmp_path_factory.mktemp("town")
    for index in range(4):
        write_street(folder / "town", f"frame{index}", 0.3 * index)
    write_street(folder / "town", "boxed", 0.8)
    write_street(folder / "town", "rejected", 0.0)
    write_street(folder / "guard", "judge1", 0.6)
    write_street(folder / "dry", "judge2", 0.0)
    entries = {
        "boxed.jpg": {"boxes": [[0.0, 0.5, 1.0, 1.0]]},
        "rejected.jpg": {"verdict": "reflection"},
    }
    weak = {"version": 1, "images": entries}
    (folder / "weak.json").write_text(json.dumps(weak))
    return folder


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that calls everything water: it could be better, and it could be worse."""
    folder = tmp_path_factory.mktemp("deployed") / "bundle"
    model = lively_model(PARTS)
    shift_logits(model, 20.0)
    save_bundle(folder, MANIFEST | {"parts": PARTS.model_dump()}, stored_state(PARTS, model))
    return folder


def shift_logits(model: LsmAdapter, by: float) -> None:
    """Make the small model, and with it the whole, see more water or less."""
    assert isinstance(model.head.small_model, SmallLite)
    assert model.head.small_model.pyramid.logits.bias is not None
    with torch.no_grad():
        model.head.small_model.pyramid.logits.bias.add_(by)


@pytest.fixture
def base(bundle_folder: Path) -> Bundle:
    return load_bundle(bundle_folder)


@pytest.fixture(scope="module")
def city(city_folder: Path) -> CityPictures:
    town = city_folder / "town" / "images"
    return read_city(town, city_folder / "weak.json", guard=[], dry=[], recipe=TINY)


@pytest.fixture(scope="module")
def fitted(city_folder: Path, bundle_folder: Path) -> Path:
    """What the command has made of the deployed bundle."""
    recipe = bundle_folder.with_name("recipe.yaml")
    recipe.write_text(json.dumps(TINY.model_dump(mode="json") | {"guard": LENIENT}))
    out = bundle_folder.with_name("new")
    town = city_folder / "town" / "images"
    options = ("--weak", city_folder / "weak.json", "--recipe", recipe, "--site", "town")
    judges = ("--guard", city_folder / "guard", "--dry", city_folder / "dry")
    status = call("adapt", bundle_folder, "--images", town, "--out", out, *options, *judges)
    assert status == 0
    return out


def test_the_command_makes_a_bundle_that_says_where_it_comes_from(
    bundle_folder: Path, fitted: Path
) -> None:
    before, after = load_bundle(bundle_folder), load_bundle(fitted)
    lineage = after.manifest.lineage
    assert lineage is not None
    assert lineage.sha256 == before.manifest.weights.sha256
    assert (lineage.name, lineage.version) == ("tiny", "1.2.3")
    assert lineage.pictures["boxes"] == lineage.pictures["dry"] == 1
    assert after.manifest.version == "1.2.3+adapted"
    assert after.manifest.water_rule == before.manifest.water_rule
    assert [section.name for section in after.manifest.trained_on] == ["nothing", "town"]
    old, new = before.model.state_dict(), after.model.state_dict()
    assert new.keys() == old.keys()
    changed = {name for name, tensor in new.items() if not torch.equal(tensor, old[name])}
    assert changed
    assert all(".expand." in n or ".project." in n or ".pyramid." in n for n in changed)
    report = json.loads(fitted.with_name("new.report.json").read_text())
    assert report["objections"] == []
    assert report["before"]["iou"] is not None


def test_a_bundle_that_was_fitted_can_be_fitted_again(
    tmp_path: Path, fitted: Path, city: CityPictures
) -> None:
    once = load_bundle(fitted)
    lenient = TINY.model_copy(update={"guard": GuardSection.model_validate(LENIENT)})
    adapt(once, city, lenient, out=tmp_path / "twice", about=ABOUT, seed=0)
    lineage = load_bundle(tmp_path / "twice").manifest.lineage
    assert lineage is not None
    assert lineage.sha256 == once.manifest.weights.sha256


def test_a_spoiled_model_is_refused_and_nothing_but_a_report_is_written(
    tmp_path: Path,
    bundle_folder: Path,
    city_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = adapt_module.train

    def spoil(
        model: LsmAdapter,
        city: CityPictures,
        recipe: AdaptRecipe,
        *,
        seed: int,
        device: DeviceName,
    ) -> LsmAdapter:
        fitted = real(model, city, recipe, seed=seed, device=device)
        shift_logits(fitted, -1000.0)
        return fitted

    monkeypatch.setattr(adapt_module, "train", spoil)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: 1\nbatch_size: 1\ntrain_size_px: 64\n")
    town = city_folder / "town" / "images"
    out = tmp_path / "new"
    judges = ("--guard", city_folder / "guard", "--dry", city_folder / "dry")
    options = ("--out", out, "--recipe", recipe, *judges)
    assert call("adapt", bundle_folder, "--images", town, *options) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.report.json", "recipe.yaml"]
    report = json.loads((tmp_path / "new.report.json").read_text())
    assert report["after"]["iou"] == 0.0
    error = capsys.readouterr().err
    assert re.search(r"worse and was not written: IoU fell from 0\.\d+ to 0\.000", error)
    assert str(tmp_path / "new.report.json") in error


def test_without_anything_to_judge_by_nothing_is_trained(tmp_path: Path) -> None:
    write_street(tmp_path, "only", 0.5)
    weak = tmp_path / "weak.json"
    entries = {"only.jpg": {"verdict": "water"}}
    weak.write_text(json.dumps({"version": 1, "images": entries}))
    with pytest.raises(
        DataError, match=r"too few pictures to fit a model and to judge it; .* or give --guard"
    ):
        read_city(tmp_path / "images", weak, guard=[], dry=[], recipe=TINY)


def test_dry_pictures_with_water_in_their_masks_are_no_dry_pictures(city_folder: Path) -> None:
    town, guard = city_folder / "town" / "images", city_folder / "guard"
    with pytest.raises(DataError, match="judge1 has water in its mask"):
        read_city(town, None, guard=[guard], dry=[guard], recipe=TINY)


def test_an_official_encoder_is_not_fitted_twice(
    tmp_path: Path, base: Bundle, city: CityPictures
) -> None:
    lineage = {
        "name": "city",
        "version": "1",
        "sha256": "0" * 64,
        "rank": 4,
        "pictures": {"boxes": 1},
    }
    fitted = base.manifest.model_validate(
        base.manifest.model_dump()
        | {"lineage": lineage}
        | {"parts": base.manifest.parts.model_dump() | {"image_encoder": "sam_vit_b"}}
    )
    with pytest.raises(
        RecipeError, match="was fitted before; fit the one it came from, city 1"
    ):
        adapt(Bundle(fitted, base.model), city, TINY, out=tmp_path / "x", about=ABOUT, seed=0)


def test_a_folder_that_holds_something_else_is_refused_before_anything_is_trained(
    tmp_path: Path, base: Bundle, city: CityPictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(adapt_module, "train")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"holds other files \(notes\.txt\); choose another"):
        adapt(base, city, TINY, out=tmp_path, about=ABOUT, seed=0)


@pytest.mark.parametrize(
    ("about", "message"),
    [({"name": "Town Hall"}, "name: String should match"), ({"version": ""}, "version: ")],
)
def test_a_name_no_bundle_can_have_is_refused_before_anything_is_trained(
    tmp_path: Path,
    base: Bundle,
    city: CityPictures,
    monkeypatch: pytest.MonkeyPatch,
    *,
    about: dict[str, str],
    message: str,
) -> None:
    monkeypatch.delattr(adapt_module, "train")
    with pytest.raises(RecipeError, match=message):
        adapt(base, city, TINY, out=tmp_path / "x", about=ABOUT | about, seed=0)


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_trained(
    tmp_path: Path, base: Bundle, city: CityPictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(adapt_module, "train")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BundleError, match=r"cannot write the bundle \(.*\); choose another"):
        adapt(base, city, TINY, out=tmp_path / "file" / "x", about=ABOUT, seed=0)


def test_the_same_seed_gives_the_same_updates(base: Bundle, city: CityPictures) -> None:
    fitted = [
        adapt_module.train(base.model, city, TINY, seed=5, device="cpu").state_dict()
        for _ in range(2)
    ]
    assert all(torch.equal(fitted[1][name], tensor) for name, tensor in fitted[0].items())
