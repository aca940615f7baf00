from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from lsm_monitor.errors import BundleError, WeightsError
from lsm_monitor.model import weights as weights_module
from lsm_monitor.model.bundle import (
    MANIFEST_FILE,
    WEIGHTS_FILE,
    load_bundle,
    save_bundle,
    shipped_bundles,
    stored_state,
)
from lsm_monitor.model.low_rank import add_low_rank
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import ModelParts
from lsm_monitor.model.postprocess import WaterRule
from lsm_monitor.model.sam_vit import SamVit
from lsm_monitor.model.storage import pack, unpack
from lsm_monitor.model.weights import Checkpoint
from tests.unit.model.models import (
    EVERYTHING,
    MANIFEST,
    TINY_VIT,
    lively_model,
    noise,
    run,
    shrink_sam,
)

MAX_SHIPPED_BYTES = 25_000_000
ANY_TENSOR = "head.small_model.pyramid.logits.weight"
ANY_BIAS = "head.small_model.pyramid.logits.bias"
LINEAGE = {
    "name": "tiny",
    "version": "1.2.3",
    "sha256": "0" * 64,
    "rank": 4,
    "pictures": {"boxes": 3, "frames": 20},
}


def edit_manifest(folder: Path, **fields: object) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def edit_section(folder: Path, section: str, **fields: object) -> None:
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    edit_manifest(folder, **{section: manifest[section] | fields})


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


def store_four_bits(folder: Path) -> None:
    """Write a tensor of a kind that the format knows and this PyTorch does not."""
    header = json.dumps({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}).encode()
    rewrite_weights(folder, len(header).to_bytes(8, "little") + header + b"\0")


def cut_manifest(folder: Path) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(path.read_text()[:-20])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no-manifest": (lambda f: (f / MANIFEST_FILE).unlink(), r"manifest\.json: cannot be read"),
    "no-weights": (lambda f: (f / WEIGHTS_FILE).unlink(), r"weights\.safetensors: cannot be"),
    "cut-manifest": (cut_manifest, r"manifest\.json: is not JSON"),
    "manifest-is-a-list": (
        lambda f: (f / MANIFEST_FILE).write_text("[]"),
        r"format version None, this lsm-monitor reads 2",
    ),
    "manifest-is-not-text": (
        lambda f: (f / MANIFEST_FILE).write_bytes(b"\xff\xfe\x00"),
        r"manifest\.json: is not JSON",
    ),
    "manifest-nested-without-end": (
        lambda f: (f / MANIFEST_FILE).write_text("[" * 100_000),
        r"manifest\.json: is not JSON",
    ),
    "other-format": (
        lambda f: edit_manifest(f, format_version=1),
        r"format version 1, this lsm-monitor reads 2; export",
    ),
    "other-preprocessing": (
        lambda f: edit_manifest(f, preprocessing="bgr"),
        r"preprocessing 'bgr', this lsm-monitor does",
    ),
    "unknown-key": (lambda f: edit_manifest(f, colour="red"), r"colour: Extra inputs"),
    "threshold-of-one": (
        lambda f: edit_section(f, "water", threshold=1.0),
        r"water\.threshold: Input should",
    ),
    "share-above-one": (
        lambda f: edit_section(f, "water", core_share=1.5),
        r"water\.core_share: Input should",
    ),
    "name-that-is-a-path": (lambda f: edit_manifest(f, name="../x"), r"name: String should"),
    "no-classes": (lambda f: edit_manifest(f, classes=[]), r"classes: Tuple should"),
    "unknown-part": (
        lambda f: edit_section(f, "parts", image_encoder="vgg"),
        r"unknown image_encoder 'vgg'; known are efficientnet_lite0, .*; update",
    ),
    "unknown-key-of-a-part": (
        lambda f: edit_section(f, "parts", spatial_prompt={"kind": "mask", "radius": 3}),
        r"parts\.spatial_prompt\.radius: Extra inputs",
    ),
    "parts-that-make-no-model": (
        lambda f: edit_section(f, "parts", small_model=None),
        r"parts: .*'spatial_prompt' needs a 'small_model'",
    ),
    "parts-of-other-weights": (
        lambda f: edit_section(f, "parts", style_prompt=False),
        r"head\.combiner\.weights\.style is unknown.*and \d+ more",
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
    "numbers-of-a-kind-that-cannot-be-checked": (
        lambda f: change_tensors(
            f, lambda t: t.update({ANY_TENSOR: t[ANY_TENSOR].to(torch.float8_e4m3fn)})
        ),
        rf"{ANY_TENSOR} holds float8_e4m3fn",
    ),
    "numbers-that-pytorch-has-not": (
        store_four_bits,
        r"safetensors file that can be read \('F4'\)",
    ),
    "updates-of-no-possible-rank": (
        lambda f: edit_manifest(f, lineage=LINEAGE | {"rank": 10**13}),
        r"lineage\.rank: Input should be less than or equal to 64",
    ),
    "infinite-once-it-is-float32": (
        lambda f: change_tensors(
            f, lambda t: t.update({ANY_BIAS: torch.full((1,), 1e300, dtype=torch.float64)})
        ),
        rf"{ANY_BIAS} has values that are not finite",
    ),
    "nan": (
        lambda f: change_tensors(f, lambda t: t[f"{ANY_TENSOR}.scale"].fill_(torch.nan)),
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


def test_a_path_that_may_not_be_looked_at_is_refused_with_the_reason() -> None:
    with pytest.raises(BundleError, match=r"x: cannot be looked at \(File name too long\)"):
        load_bundle("x" * 300)


def test_many_wrong_tensors_make_one_short_message(bundle_folder: Path) -> None:
    change_tensors(bundle_folder, lambda tensors: tensors.clear())
    with pytest.raises(BundleError, match=r"is missing and \d+ more") as caught:
        load_bundle(bundle_folder)
    assert len(str(caught.value)) < 1000


def test_a_saved_model_gives_the_same_logits_when_loaded(
    bundle_folder: Path, model: LsmAdapter
) -> None:
    loaded = load_bundle(bundle_folder).model
    # Weights are stored in 8 bits, through about 60 layers.
    torch.testing.assert_close(
        run(loaded, noise(1)).logits, run(model, noise(1)).logits, rtol=0.0, atol=0.1
    )


def test_what_is_loaded_is_what_rounding_gives(bundle_folder: Path, model: LsmAdapter) -> None:
    state = stored_state(EVERYTHING, model)
    assert state.keys() == model.state_dict().keys()
    loaded = load_bundle(bundle_folder).model.state_dict()
    stored = safetensors.torch.load_file(bundle_folder / WEIGHTS_FILE)
    rounded = unpack(pack(state))
    for name, tensor in unpack(stored).items():
        assert torch.equal(loaded[name], tensor), name
        assert torch.equal(tensor, rounded[name]), name


def test_saving_a_loaded_bundle_again_gives_the_same_file(
    bundle_folder: Path, tmp_path: Path
) -> None:
    loaded = load_bundle(bundle_folder)
    again = save_bundle(tmp_path / "again", MANIFEST, stored_state(EVERYTHING, loaded.model))
    assert again == loaded.manifest


def test_the_water_rule_is_the_manifests(bundle_folder: Path) -> None:
    edit_section(bundle_folder, "water", threshold=0.25, core_threshold=0.5, core_share=0.125)
    assert load_bundle(bundle_folder).manifest.water_rule == WaterRule(0.25, 0.5, 0.125)


def publish_sam(path: Path, patch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Publish a tiny SAM as ``sam_vit_b``; returns the image encoder's weights."""
    shrink_sam(patch)
    torch.manual_seed(1)
    encoder = SamVit(TINY_VIT, 64)
    encoder.pos_embed.data.normal_()
    state = encoder.state_dict()
    torch.save({f"image_encoder.{name}": tensor for name, tensor in state.items()}, path)
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    published = Checkpoint("sam_vit_b", f"https://a/{path.name}", len(content), sha256)
    patch.setattr(weights_module, "CHECKPOINTS", {"sam_vit_b": published})
    patch.setenv("LSM_WEIGHTS_DIR", str(path.parent))
    return state


def test_a_bundle_with_sams_encoder_leaves_it_out_and_takes_the_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish_sam(tmp_path / "sam.pth", monkeypatch)
    parts = EVERYTHING.model_copy(update={"image_encoder": "sam_vit_b"})
    model = lively_model(parts)
    model.encoder.image_encoder.load_state_dict(published)
    manifest = {"parts": parts.model_dump(), "preprocessing": "rgb-letterbox-imagenet"}
    state = stored_state(parts, model)
    save_bundle(tmp_path / "sam", MANIFEST | manifest, state)

    left_out = model.state_dict().keys() - state.keys()
    assert left_out == {f"encoder.image_encoder.{name}" for name in published}
    assert any(name.startswith("encoder.adapter.") for name in state)
    loaded = load_bundle(tmp_path / "sam").model
    for name, tensor in published.items():  # not rounded either
        assert torch.equal(loaded.encoder.image_encoder.state_dict()[name], tensor)
    torch.testing.assert_close(
        run(loaded, noise(1)).logits, run(model, noise(1)).logits, rtol=0.0, atol=0.1
    )

    (tmp_path / "sam.pth").unlink()
    with pytest.raises(WeightsError, match="type: lsm-monitor weights fetch sam_vit_b"):
        load_bundle(tmp_path / "sam")


def test_what_an_official_encoder_has_learned_is_stored_beside_it_and_merged_at_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish_sam(tmp_path / "sam.pth", monkeypatch)
    parts = EVERYTHING.model_copy(update={"image_encoder": "sam_vit_b"})
    model = lively_model(parts)
    model.encoder.image_encoder.load_state_dict(published)
    for parameter in add_low_rank(model.encoder.image_encoder, 4):
        parameter.data.normal_(0.0, 0.05)
    state = stored_state(parts, model)
    manifest = {"parts": parts.model_dump(), "preprocessing": "rgb-letterbox-imagenet"}
    save_bundle(tmp_path / "sam", MANIFEST | manifest | {"lineage": LINEAGE}, state)

    stored = {name for name in state if name.startswith("encoder.image_encoder.")}
    blocks = range(TINY_VIT.depth)
    layers = [f"encoder.image_encoder.blocks.{block}.attn.qkv" for block in blocks]
    assert stored == {f"{layer}.{key}" for layer in layers for key in ("up", "down")}
    loaded = load_bundle(tmp_path / "sam")
    assert loaded.manifest.lineage is not None
    encoder = loaded.model.encoder.image_encoder
    assert encoder.state_dict().keys() == published.keys()  # the engines see a plain one
    weight = encoder.state_dict()["blocks.0.attn.qkv.weight"]
    fitted = model.encoder.image_encoder.blocks[0].attn.qkv.weight  # type: ignore[index,union-attr]
    assert torch.equal(weight, fitted)
    assert not torch.equal(weight, published["blocks.0.attn.qkv.weight"])

    change_tensors(tmp_path / "sam", lambda tensors: tensors.pop(f"{layers[0]}.up"))
    with pytest.raises(BundleError, match=r"blocks\.0\.attn\.qkv\.up is missing"):
        load_bundle(tmp_path / "sam")


@pytest.mark.parametrize("tuning", [{"kind": "low_rank"}, {"kind": "full"}])
def test_a_tuned_official_encoder_is_stored_whole_and_needs_no_published_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, tuning: dict[str, str]
) -> None:
    publish_sam(tmp_path / "sam.pth", monkeypatch)
    (tmp_path / "sam.pth").unlink()
    changes = {"image_encoder": "sam_vit_b", "encoder_tuning": tuning}
    parts = ModelParts.model_validate(EVERYTHING.model_dump() | changes)
    model = lively_model(parts)
    manifest = {"parts": parts.model_dump(), "preprocessing": "rgb-letterbox-imagenet"}
    save_bundle(tmp_path / "sam", MANIFEST | manifest, stored_state(parts, model))
    loaded = load_bundle(tmp_path / "sam").model
    model.load_state_dict(unpack(pack(model.state_dict())))
    assert torch.equal(run(loaded, noise(1)).logits, run(model, noise(1)).logits)


def test_a_loaded_model_is_float32_and_in_evaluation_mode(bundle_folder: Path) -> None:
    loaded = load_bundle(bundle_folder).model
    assert not loaded.training
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_saving_replaces_an_older_bundle(bundle_folder: Path, model: LsmAdapter) -> None:
    state = stored_state(EVERYTHING, model)
    save_bundle(bundle_folder, MANIFEST | {"version": "2"}, state)
    assert sorted(path.name for path in bundle_folder.iterdir()) == [
        MANIFEST_FILE,
        WEIGHTS_FILE,
    ]
    assert load_bundle(bundle_folder).manifest.version == "2"
    assert [path.name for path in bundle_folder.parent.iterdir()] == ["tiny"]


def test_a_bundle_that_cannot_be_valid_is_never_written(
    tmp_path: Path, model: LsmAdapter
) -> None:
    with pytest.raises(BundleError, match="name: Field required"):
        save_bundle(tmp_path / "new", {}, model.state_dict())
    assert not list(tmp_path.iterdir())


def test_saving_never_replaces_a_folder_that_holds_anything_else(
    tmp_path: Path, model: LsmAdapter
) -> None:
    (tmp_path / "notes.txt").write_text("keep me")
    with pytest.raises(BundleError, match=r"holds other files \(notes\.txt\); choose another"):
        save_bundle(tmp_path, MANIFEST, model.state_dict())
    assert (tmp_path / "notes.txt").read_text() == "keep me"


def test_saving_never_replaces_a_file(tmp_path: Path, model: LsmAdapter) -> None:
    precious = tmp_path / "weights.pth"
    precious.write_text("keep me")
    with pytest.raises(BundleError, match=r"weights\.pth: is a file; choose another folder"):
        save_bundle(precious, MANIFEST, stored_state(EVERYTHING, model))
    assert precious.read_text() == "keep me"


def test_saving_where_a_file_is_in_the_way_is_an_error_that_names_it(
    tmp_path: Path, model: LsmAdapter
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="file/new: cannot write the bundle"):
        save_bundle(tmp_path / "file" / "new", MANIFEST, stored_state(EVERYTHING, model))


def test_saving_where_this_user_may_not_look_is_an_error(
    tmp_path: Path, model: LsmAdapter
) -> None:
    with pytest.raises(
        BundleError, match=r"x: cannot be looked at \(File name too long\); use"
    ):
        save_bundle(tmp_path / ("x" * 300), MANIFEST, stored_state(EVERYTHING, model))


@pytest.mark.parametrize("name", shipped_bundles())
def test_every_shipped_bundle_loads_under_its_own_name(name: str) -> None:
    bundle = load_bundle(name)
    assert bundle.manifest.name == name
    assert all(data.licence for data in bundle.manifest.trained_on)


def test_the_shipped_bundles_are_small_and_include_compact() -> None:
    assert "compact" in shipped_bundles()
    sizes = [load_bundle(name).manifest.weights.bytes for name in shipped_bundles()]
    assert sum(sizes) <= MAX_SHIPPED_BYTES
