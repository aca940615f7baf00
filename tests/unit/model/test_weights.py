from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lsm_monitor.errors import WeightsError
from lsm_monitor.model import sam_source
from lsm_monitor.model import weights as module
from lsm_monitor.model.mask_decoder import MaskDecoder
from lsm_monitor.model.prompt_encoder import PromptEncoder
from lsm_monitor.model.sam_vit import VIT_SIZES, SamVit, VitSize
from lsm_monitor.model.weights import (
    CHECKPOINTS,
    Checkpoint,
    load_official_encoder,
    load_sam_checkpoint,
    verify,
    weights_folder,
)

State = dict[str, torch.Tensor]
TINY = VitSize(width=32, depth=2, heads=2, global_blocks=(1,), window=3)


def _sam(image_encoder: nn.Module, prompt_encoder: nn.Module, decoder: nn.Module) -> nn.Module:
    """Return the parts under the names that SAM's checkpoints give them."""
    return nn.ModuleDict(
        {
            "image_encoder": image_encoder,
            "prompt_encoder": prompt_encoder,
            "mask_decoder": decoder,
        }
    )


def _tiny(input_size_px: int = 64) -> tuple[SamVit, PromptEncoder, MaskDecoder]:
    return SamVit(TINY, input_size_px), PromptEncoder(), MaskDecoder()


TINY_PARTS = _tiny()  # for files that are refused


def _load(path: Path, parts: tuple[SamVit | None, PromptEncoder, MaskDecoder]) -> None:
    image_encoder, prompt_encoder, mask_decoder = parts
    load_sam_checkpoint(
        path,
        image_encoder=image_encoder,
        prompt_encoder=prompt_encoder,
        mask_decoder=mask_decoder,
    )


@pytest.fixture(scope="module")
def state() -> State:
    """A whole checkpoint of a tiny SAM, with values of its own."""
    torch.manual_seed(1)
    state = _sam(*_tiny()).state_dict()
    return {name: torch.randn_like(tensor) for name, tensor in state.items()}


@pytest.fixture
def _unfilled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave parameters as the memory is: gigabytes of them then cost nothing."""
    for kind in (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding):
        monkeypatch.setattr(kind, "reset_parameters", lambda _module: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sam.pth"


def test_every_tensor_of_a_checkpoint_reaches_its_place(state: State, path: Path) -> None:
    torch.save(state, path)
    parts = _tiny()

    _load(path, parts)

    loaded = _sam(*parts).state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


@pytest.mark.usefixtures("_unfilled")
@pytest.mark.parametrize("input_size_px", [1024, 512])
def test_the_official_vit_b_checkpoint_fits(path: Path, input_size_px: int) -> None:
    official = _sam(
        sam_source.ImageEncoderViT(
            img_size=1024, embed_dim=768, depth=12, num_heads=12, use_rel_pos=True,
            window_size=14, global_attn_indexes=[2, 5, 8, 11],
        ),
        sam_source.PromptEncoder(256, (64, 64), (1024, 1024), 16),
        sam_source.MaskDecoder(
            transformer_dim=256,
            transformer=sam_source.TwoWayTransformer(
                depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048
            ),
        ),
    )  # fmt: skip
    assert sum(parameter.numel() for parameter in official.parameters()) == 93_735_472
    # All names and shapes, but one number on disk for each tensor.
    torch.save(
        {name: torch.ones(()).expand(t.shape) for name, t in official.state_dict().items()},
        path,
    )
    parts = SamVit(VIT_SIZES["b"], input_size_px), PromptEncoder(), MaskDecoder()

    _load(path, parts)

    for tensor in _sam(*parts).state_dict().values():
        assert tensor.aminmax() == pytest.approx((1.0, 1.0))


def test_another_encoder_than_sams_leaves_the_files_encoder_out(
    state: State, path: Path
) -> None:
    torch.save(state, path)
    decoder = MaskDecoder(high_res_channels=(24, 40))

    _load(path, (None, PromptEncoder(), decoder))

    assert torch.equal(decoder.iou_token.weight, state["mask_decoder.iou_token.weight"])
    assert all(not projection.any() for projection in decoder.high_res_projections.parameters())


POSITIONS = "image_encoder.pos_embed"
WINDOW = "image_encoder.blocks.0.attn.rel_pos_h"
TOKEN = "mask_decoder.iou_token.weight"
MATRIX = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({TOKEN: None}, f"{TOKEN} is missing"),
        ({MATRIX: None}, f"{MATRIX} is missing"),
        ({TOKEN: torch.zeros(2, 256)}, f"{TOKEN} is (2, 256) instead of (1, 256)"),
        ({POSITIONS: torch.zeros(1, 8, 8, 9)}, "is (1, 4, 4, 9) instead of (1, 4, 4, 32)"),
        ({POSITIONS: torch.zeros(3)}, "is (3,) instead of (1, 4, 4, 32)"),
        ({WINDOW: torch.zeros(7, 16)}, f"{WINDOW} is (7, 16) instead of (5, 16)"),
        ({"mask_decoder.new": torch.zeros(1)}, "mask_decoder.new is unknown"),
        ({"sam_mask_decoder.x": torch.zeros(1)}, "sam_mask_decoder.x is unknown"),
        ({"image_encoder.blocks.2.attn.rel_pos_h": torch.zeros(5, 16)}, "rel_pos_h is unknown"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_loads_nothing(
    state: State, path: Path, change: dict[str, torch.Tensor | None], problem: str
) -> None:
    changed = {**state, **change}
    torch.save({name: tensor for name, tensor in changed.items() if tensor is not None}, path)
    parts = _tiny()
    before = {name: tensor.clone() for name, tensor in _sam(*parts).state_dict().items()}

    with pytest.raises(WeightsError, match=re.escape(problem)):
        _load(path, parts)

    after = _sam(*parts).state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_a_checkpoint_of_another_size_is_told_in_one_line(state: State, path: Path) -> None:
    torch.save(state, path)
    other = SamVit(VitSize(width=48, depth=3, heads=3, global_blocks=(1,), window=3), 64)

    with pytest.raises(WeightsError, match=r"does not fit.*; .*; .* and \d+ more; use the"):
        _load(path, (other, PromptEncoder(), MaskDecoder()))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02."])
def test_what_is_not_a_checkpoint_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(WeightsError, match=r"sam\.pth: is not a file of named tensors"):
        _load(path, _tiny())


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@given(data=st.data())
def test_a_damaged_checkpoint_is_refused_or_harmless(data: st.DataObject) -> None:
    buffer = io.BytesIO()
    torch.save({"image_encoder.pos_embed": torch.zeros(2)}, buffer)
    content = bytearray(buffer.getvalue())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with NamedTemporaryFile() as file:
        file.write(content)
        file.flush()

        with pytest.raises(WeightsError):  # whole or damaged, it is no SAM
            _load(Path(file.name), TINY_PARTS)


def test_a_cut_off_checkpoint_is_refused(state: State, path: Path) -> None:
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-1000])

    with pytest.raises(WeightsError, match="is damaged"):
        _load(path, _tiny())


def test_code_in_a_checkpoint_is_not_run(path: Path) -> None:
    torch.save({"image_encoder.pos_embed": _tiny}, path)

    with pytest.raises(WeightsError, match="is damaged"):
        _load(path, _tiny())


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"model": {}}, {1: torch.zeros(1)}])
def test_a_file_without_named_tensors_is_refused(path: Path, content: object) -> None:
    torch.save(content, path)

    with pytest.raises(WeightsError, match="is not a file of named tensors"):
        _load(path, _tiny())


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(WeightsError, match=r"sam\.pth: cannot be read \(No such file"):
        _load(path, _tiny())


def test_an_official_encoder_is_loaded_alone_and_only_from_the_published_file(
    state: State, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(state, path)
    content = path.read_bytes()
    published = Checkpoint(
        name="tiny",
        url=f"https://example.org/{path.name}",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    monkeypatch.setattr(module, "CHECKPOINTS", {"tiny": published})
    monkeypatch.setenv("LSM_WEIGHTS_DIR", str(path.parent))
    encoder = SamVit(TINY, 64)

    load_official_encoder("tiny", encoder)

    assert torch.equal(encoder.pos_embed, state[POSITIONS])
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(WeightsError, match="type: lsm-monitor weights fetch tiny"):
        load_official_encoder("tiny", encoder)


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"LSM_WEIGHTS_DIR": "/a", "XDG_CACHE_HOME": "/b"}, Path("/a")),
        ({"LSM_WEIGHTS_DIR": "", "XDG_CACHE_HOME": "/b"}, Path("/b/lsm-monitor/weights")),
        ({"XDG_CACHE_HOME": ""}, Path.home() / ".cache/lsm-monitor/weights"),
    ],
    ids=["own", "xdg", "home"],
)
def test_the_folder_comes_from_the_environment(environ: dict[str, str], folder: Path) -> None:
    assert weights_folder(environ) == folder


def test_without_a_home_the_folder_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        msg = "Could not determine home directory."
        raise RuntimeError(msg)

    monkeypatch.setattr(Path, "home", no_home)
    assert weights_folder({"LSM_WEIGHTS_DIR": "/w"}) == Path("/w")
    with pytest.raises(WeightsError, match="no home folder; set LSM_WEIGHTS_DIR to a folder"):
        weights_folder({})


@pytest.mark.usefixtures("_unfilled")
@pytest.mark.parametrize("checkpoint", CHECKPOINTS.values(), ids=lambda c: c.name)
def test_the_known_checkpoints_are_metas(checkpoint: Checkpoint) -> None:
    assert re.fullmatch(
        r"https://dl\.fbaipublicfiles\.com/segment_anything/sam_vit_[blh]_[0-9a-f]{6}\.pth",
        checkpoint.url,
    )
    assert checkpoint.name in checkpoint.url
    assert re.fullmatch(r"[0-9a-f]{64}", checkpoint.sha256)
    # Four bytes for each number, and some hundred for each tensor's name and place.
    parts = _sam(SamVit(VIT_SIZES[checkpoint.name[-1]]), PromptEncoder(), MaskDecoder())
    tensors = parts.state_dict().values()
    rest_bytes = checkpoint.size_bytes - sum(4 * tensor.numel() for tensor in tensors)
    assert 200 < rest_bytes / len(tensors) < 400


def test_a_missing_checkpoint_is_told_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError,
        match=r"sam_vit_b: .*/sam_vit_b_01ec64\.pth is missing; "
        "type: lsm-monitor weights fetch sam_vit_b",
    ):
        verify(CHECKPOINTS["sam_vit_b"], tmp_path)
