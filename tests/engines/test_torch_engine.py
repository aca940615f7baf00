from __future__ import annotations

import pytest
import torch

from lsm_engines import EncoderEngine, EngineError, EngineRequest, build_engine
from lsm_monitor.model.lsm_adapter import AdaptedEncoder
from tests.unit.model.models import EVERYTHING, SIZE_PX, lively_model, noise, shrink_sam


@pytest.fixture(scope="module", params=["efficientnet_lite0", "sam_vit_b"])
def encoder(request: pytest.FixtureRequest) -> AdaptedEncoder:
    with pytest.MonkeyPatch.context() as patch:
        shrink_sam(patch)
        parts = EVERYTHING.model_copy(update={"image_encoder": request.param})
        return lively_model(parts).encoder


@pytest.fixture
def engine(encoder: AdaptedEncoder) -> EncoderEngine:
    return build_engine("torch", encoder, EngineRequest(SIZE_PX, device="cpu", max_batch=2))


def zeros(batch: int = 1) -> torch.Tensor:
    return torch.zeros(batch, 3, SIZE_PX, SIZE_PX)


@pytest.mark.parametrize("batch", [1, 2])
def test_the_engine_gives_what_the_encoder_gives(encoder: AdaptedEncoder, batch: int) -> None:
    images, frequencies = noise(batch), noise(batch, seed=2).abs()
    with torch.inference_mode():
        expected = encoder(images, frequencies)  # before the engine changes its layout
    request = EngineRequest(SIZE_PX, device="cpu", max_batch=2)
    engine = build_engine("torch", encoder, request)
    for found, wanted in zip(engine.encode(images, frequencies), expected, strict=True):
        assert found.shape == wanted.shape
        # The same arithmetic in another memory layout: a few float32 roundings.
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_frequencies_reach_the_adapter(engine: EncoderEngine) -> None:
    one = engine.encode(noise(1), noise(1, seed=2).abs())
    other = engine.encode(noise(1), noise(1, seed=3).abs())
    assert max((a - b).abs().max() for a, b in zip(one, other, strict=True)) > 0.01


def test_the_spec_says_what_encode_returns(engine: EncoderEngine) -> None:
    maps = engine.encode(zeros(), zeros())
    assert engine.spec.embedding_shapes == tuple(tuple(map_.shape[1:]) for map_ in maps)
    assert all(map_.dtype == torch.float32 for map_ in maps)
    assert (engine.spec.backend, engine.spec.precision) == ("torch", "fp32")


def test_later_calls_do_not_overwrite_earlier_embeddings(engine: EncoderEngine) -> None:
    first = engine.encode(zeros(), zeros())
    before = [map_.clone() for map_ in first]
    engine.encode(zeros() + 1.0, zeros())
    for kept, copy in zip(first, before, strict=True):
        assert torch.equal(kept, copy)


@pytest.mark.parametrize("name", ["images", "frequencies"])
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(zeros(3), id="more-than-max-batch"),
        pytest.param(zeros(0), id="empty-batch"),
        pytest.param(torch.zeros(1, 3, SIZE_PX, 32), id="not-square"),
        pytest.param(torch.zeros(1, 1, SIZE_PX, SIZE_PX), id="grey"),
        pytest.param(torch.zeros(3, SIZE_PX, SIZE_PX), id="no-batch"),
        pytest.param(torch.tensor(0.0), id="scalar"),
        pytest.param(zeros().double(), id="float64"),
    ],
)
def test_a_batch_the_spec_does_not_allow_is_refused(
    engine: EncoderEngine, name: str, wrong: torch.Tensor
) -> None:
    arguments = {"images": zeros(), "frequencies": zeros()} | {name: wrong}
    with pytest.raises(ValueError, match=f"{name} must be"):
        engine.encode(**arguments)


def test_every_picture_needs_its_frequencies(engine: EncoderEngine) -> None:
    with pytest.raises(ValueError, match="2 images, but the frequencies of 1"):
        engine.encode(zeros(2), zeros(1))


def test_what_torch_cannot_do_is_an_engine_error(engine: EncoderEngine) -> None:
    absent = torch.empty(1, 3, SIZE_PX, SIZE_PX, device="meta")  # has no values to copy
    with pytest.raises(EngineError, match="torch engine on cpu: "):
        engine.encode(zeros(), absent)


def test_a_closed_engine_says_so_and_may_be_closed_again(engine: EncoderEngine) -> None:
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.encode(zeros(), zeros())


def test_an_unknown_device_is_refused(encoder: AdaptedEncoder) -> None:
    with pytest.raises(EngineError, match="unknown device 'tpu'; use auto, cpu or cuda"):
        build_engine("torch", encoder, EngineRequest(SIZE_PX, device="tpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_asking_for_cuda_without_cuda_says_what_to_use(encoder: AdaptedEncoder) -> None:
    with pytest.raises(EngineError, match="'cuda' is not available here; use 'auto' or 'cpu'"):
        build_engine("torch", encoder, EngineRequest(SIZE_PX, device="cuda"))
