"""``lsm-train adapt`` from end to end on rendered streets, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_style import random_style
from lsm_monitor.model.bundle import Bundle, load_bundle, save_bundle, stored_state
from lsm_train import adapt as adapt_module
from lsm_train.adapt import CityPictures, adapt, read_city
from lsm_train.adapt_config import AdaptRecipe
from lsm_train.errors import DataError, GuardError, RecipeError
from tests.unit.model.models import EVERYTHING, MANIFEST, lively_model
from tests.unit.train.test_cli import call

TINY = AdaptRecipe.model_validate(
    {"steps": 2, "batch_size": 2, "train_size_px": 64, "guard": {"held_out_share": 0.5}}
)
ABOUT = {"name": "tiny", "version": "2", "site": "town", "licence": "CC0"}


def write_street(folder: Path, name: str, level: float) -> None:
    image, water = StreetScene(random_style(7)).render(level, 1.0)
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
    folder = tmp_path_factory.mktemp("deployed") / "bundle"
    save_bundle(folder, MANIFEST, stored_state(EVERYTHING, lively_model(EVERYTHING)))
    return folder


@pytest.fixture
def base(bundle_folder: Path) -> Bundle:
    return load_bundle(bundle_folder)


@pytest.fixture(scope="module")
def city(city_folder: Path) -> CityPictures:
    town = city_folder / "town" / "images"
    return read_city(town, city_folder / "weak.json", guard=[], dry=[], recipe=TINY)


def test_the_command_makes_a_bundle_that_says_where_it_comes_from(
    tmp_path: Path, city_folder: Path, bundle_folder: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    lenient = {"tolerated_iou_loss": 1, "tolerated_alarm_rise": 1, "least_agreement": 0}
    recipe.write_text(json.dumps(TINY.model_dump(mode="json") | {"guard": lenient}))
    out = tmp_path / "new"
    town = city_folder / "town" / "images"
    options = ("--weak", city_folder / "weak.json", "--recipe", recipe, "--site", "town")
    judges = ("--guard", city_folder / "guard", "--dry", city_folder / "dry")
    status = call("adapt", bundle_folder, "--images", town, "--out", out, *options, *judges)
    assert status == 0
    before, after = load_bundle(bundle_folder), load_bundle(out)
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
    report = json.loads((tmp_path / "new.report.json").read_text())
    assert report["objections"] == []
    assert report["before"]["iou"] is not None


def test_a_bundle_that_was_fitted_can_be_fitted_again(
    tmp_path: Path, base: Bundle, city: CityPictures
) -> None:
    lenient = TINY.model_copy(
        update={
            "guard": TINY.guard.model_copy(
                update={"least_agreement": 0.0, "tolerated_alarm_rise": 1.0}
            )
        }
    )
    adapt(base, city, lenient, out=tmp_path / "once", about=ABOUT, seed=0)
    once = load_bundle(tmp_path / "once")
    adapt(once, city, lenient, out=tmp_path / "twice", about=ABOUT, seed=0)
    lineage = load_bundle(tmp_path / "twice").manifest.lineage
    assert lineage is not None
    assert lineage.sha256 == once.manifest.weights.sha256


def test_a_spoiled_model_is_refused_and_nothing_but_a_report_is_written(
    tmp_path: Path, bundle_folder: Path, city_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = adapt_module.train

    def spoil(*args: object, **settings: object) -> torch.nn.Module:
        fitted = real(*args, **settings)  # type: ignore[arg-type]
        with torch.no_grad():
            fitted.head.small_model.pyramid.logits.bias.add_(100.0)
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


def test_without_anything_to_judge_by_nothing_is_trained(tmp_path: Path) -> None:
    write_street(tmp_path, "only", 0.5)
    weak = tmp_path / "weak.json"
    entries = {"only.jpg": {"verdict": "water"}}
    weak.write_text(json.dumps({"version": 1, "images": entries}))
    with pytest.raises(DataError, match=r"no frame is left to judge .* or give --guard"):
        read_city(tmp_path / "images", weak, guard=[], dry=[], recipe=TINY)


def test_dry_pictures_with_water_in_their_masks_are_no_dry_pictures(city_folder: Path) -> None:
    town, guard = city_folder / "town" / "images", city_folder / "guard"
    with pytest.raises(DataError, match="--dry: judge1 have masks with water"):
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


def test_the_same_seed_gives_the_same_updates(base: Bundle, city: CityPictures) -> None:
    fitted = [
        adapt_module.train(base.model, city, TINY, seed=5, device="cpu").state_dict()
        for _ in range(2)
    ]
    assert all(torch.equal(fitted[1][name], tensor) for name, tensor in fitted[0].items())


def test_a_guard_error_names_the_report(
    tmp_path: Path, base: Bundle, city: CityPictures
) -> None:
    impossible = TINY.model_copy(
        update={
            "guard": TINY.guard.model_copy(
                update={"tolerated_alarm_rise": 0.0, "least_agreement": 1.0}
            )
        }
    )
    with pytest.raises(GuardError, match=r"new\.report\.json"):
        adapt(base, city, impossible, out=tmp_path / "new", about=ABOUT, seed=0)
    assert not (tmp_path / "new").exists()
