from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from lsm_monitor.errors import BundleError
from lsm_monitor.model.build import WaterModel
from lsm_monitor.model.bundle import (
    MANIFEST_FILE,
    WEIGHTS_FILE,
    load_bundle,
    save_bundle,
    shipped_bundles,
)

MAX_SHIPPED_BYTES = 25_000_000
ANY_TENSOR = "small_model.logits.weight"


def edit_manifest(folder: Path, **fields: object) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def rewrite_weights(folder: Path, data: bytes) -> None:
    """Replace the weights by others that the manifest vouches for."""
    (folder / WEIGHTS_FILE).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    edit_manifest(folder, weights={"sha256": sha256, "bytes": len(data)})


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = safetensors.torch.load_file(folder / WEIGHTS_FILE)
    change(tensors)
    rewrite_weights(folder, safetensors.torch.save(tensors))


def flip_last_byte(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS_FILE).read_bytes())
    data[-1] ^= 0xFF
    (folder / WEIGHTS_FILE).write_bytes(data)


def truncate(folder: Path) -> None:
    path = folder / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-1000])


def truncate_and_vouch(folder: Path) -> None:
    rewrite_weights(folder, (folder / WEIGHTS_FILE).read_bytes()[:-1000])


def cut_manifest(folder: Path) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(path.read_text()[:-20])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no-manifest": (lambda f: (f / MANIFEST_FILE).unlink(), r"manifest\.json: cannot be read"),
    "no-weights": (lambda f: (f / WEIGHTS_FILE).unlink(), r"weights\.safetensors: cannot be"),
    "cut-manifest": (cut_manifest, r"manifest\.json: is not JSON"),
    "manifest-is-a-list": (
        lambda f: (f / MANIFEST_FILE).write_text("[]"),
        r"format version None, this lsm-monitor reads 1",
    ),
    "manifest-is-not-text": (
        lambda f: (f / MANIFEST_FILE).write_bytes(b"\xff\xfe\x00"),
        r"manifest\.json: is not JSON",
    ),
    "other-format": (
        lambda f: edit_manifest(f, format_version=2),
        r"format version 2, this lsm-monitor reads 1; export",
    ),
    "other-preprocessing": (
        lambda f: edit_manifest(f, preprocessing="bgr"),
        r"preprocessing 'bgr', this lsm-monitor does",
    ),
    "unknown-key": (lambda f: edit_manifest(f, colour="red"), r"colour: Extra inputs"),
    "threshold-of-one": (lambda f: edit_manifest(f, threshold=1.0), r"threshold: Input should"),
    "unknown-part": (
        lambda f: edit_manifest(f, parts={"image_encoder": "vgg", "small_model": "lite"}),
        r"unknown image_encoder 'vgg'; known are efficientnet_lite0; update",
    ),
    "truncated-weights": (truncate, r"bytes instead of \d+; the bundle is damaged"),
    "flipped-bit": (flip_last_byte, r"its SHA-256 is not the one in manifest\.json"),
    "weights-are-no-safetensors": (truncate_and_vouch, r"is not a safetensors file"),
    "missing-tensor": (
        lambda f: change_tensors(f, lambda t: t.pop(ANY_TENSOR)),
        rf"{ANY_TENSOR} is missing",
    ),
    "extra-tensor": (
        lambda f: change_tensors(f, lambda t: t.update(more=torch.ones(1))),
        r"more is unknown",
    ),
    "mis-shaped-tensor": (
        lambda f: change_tensors(f, lambda t: t.update({ANY_TENSOR: torch.ones(1, 2, 1, 1)})),
        rf"{ANY_TENSOR} is \(1, 2, 1, 1\) instead of \(1, 64, 1, 1\)",
    ),
    "nan": (
        lambda f: change_tensors(f, lambda t: t[ANY_TENSOR].fill_(torch.nan)),
        rf"{ANY_TENSOR} has values that are not finite",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_bundle_is_refused_with_the_file_and_the_reason(
    bundle_folder: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(bundle_folder)
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(bundle_folder)
    assert str(bundle_folder) in str(caught.value)


def test_an_unknown_name_is_refused_with_the_nearest_shipped_one() -> None:
    with pytest.raises(BundleError, match=r"compct: no such bundle.*did you mean 'compact'"):
        load_bundle("compct")


def test_many_wrong_tensors_make_one_short_message(bundle_folder: Path) -> None:
    change_tensors(bundle_folder, lambda tensors: tensors.clear())
    with pytest.raises(BundleError, match=r"is missing and \d+ more") as caught:
        load_bundle(bundle_folder)
    assert len(str(caught.value)) < 1000


def test_a_saved_model_gives_the_same_logits_when_loaded(
    bundle_folder: Path, model: WaterModel
) -> None:
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    loaded = load_bundle(bundle_folder).model
    with torch.inference_mode():
        # Convolutions are stored as float16: 11 bits of mantissa through about 60 layers.
        torch.testing.assert_close(loaded(images), model(images), rtol=0.02, atol=0.02)


def test_a_loaded_model_is_float32_and_in_evaluation_mode(bundle_folder: Path) -> None:
    loaded = load_bundle(bundle_folder).model
    assert not loaded.training
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_saving_replaces_an_older_bundle_completely(
    bundle_folder: Path, model: WaterModel
) -> None:
    (bundle_folder / "left-over").touch()
    manifest = load_bundle(bundle_folder).manifest.model_dump(
        exclude={"format_version", "preprocessing", "weights"}
    )
    save_bundle(bundle_folder, manifest | {"version": "2"}, model.state_dict())
    assert sorted(path.name for path in bundle_folder.iterdir()) == [
        MANIFEST_FILE,
        WEIGHTS_FILE,
    ]
    assert load_bundle(bundle_folder).manifest.version == "2"
    assert [path.name for path in bundle_folder.parent.iterdir()] == ["tiny"]


def test_a_bundle_that_cannot_be_valid_is_never_written(
    tmp_path: Path, model: WaterModel
) -> None:
    with pytest.raises(BundleError, match="name: Field required"):
        save_bundle(tmp_path / "new", {}, model.state_dict())
    assert not list(tmp_path.iterdir())


def test_saving_where_a_file_is_in_the_way_is_an_error_that_names_it(
    tmp_path: Path, bundle_folder: Path, model: WaterModel
) -> None:
    manifest = load_bundle(bundle_folder).manifest.model_dump(
        exclude={"format_version", "preprocessing", "weights"}
    )
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="file/new: cannot write the bundle"):
        save_bundle(tmp_path / "file" / "new", manifest, model.state_dict())


@pytest.mark.parametrize("name", shipped_bundles())
def test_every_shipped_bundle_loads_under_its_own_name(name: str) -> None:
    bundle = load_bundle(name)
    assert bundle.manifest.name == name
    assert all(data.licence for data in bundle.manifest.trained_on)


def test_the_shipped_bundles_are_small_and_include_compact() -> None:
    assert "compact" in shipped_bundles()
    sizes = [load_bundle(name).manifest.weights.bytes for name in shipped_bundles()]
    assert sum(sizes) <= MAX_SHIPPED_BYTES
