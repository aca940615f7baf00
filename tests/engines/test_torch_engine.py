from __future__ import annotations

import pytest
import torch

from lsm_engines import EncoderEngine, EngineError, EngineRequest, build_engine
from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0

SIZE = 64


@pytest.fixture(scope="module")
def encoder() -> EfficientNetLite0:
    torch.manual_seed(0)
    return EfficientNetLite0().eval()


@pytest.fixture
def engine(encoder: EfficientNetLite0) -> EncoderEngine:
    return build_engine("torch", encoder, EngineRequest(SIZE, device="cpu", max_batch=2))


def test_the_engine_gives_what_the_encoder_gives(
    engine: EncoderEngine, encoder: EfficientNetLite0
) -> None:
    images = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = encoder(images)
    for found, wanted in zip(engine.encode(images), expected, strict=True):
        # The same arithmetic in another memory layout: a few float32 roundings.
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_spec_says_what_encode_returns(engine: EncoderEngine) -> None:
    maps = engine.encode(torch.zeros(1, 3, SIZE, SIZE))
    assert engine.spec.embedding_shapes == tuple(tuple(map_.shape[1:]) for map_ in maps)
    assert (engine.spec.backend, engine.spec.precision) == ("torch", "fp32")


def test_later_calls_do_not_overwrite_earlier_embeddings(engine: EncoderEngine) -> None:
    first = engine.encode(torch.zeros(1, 3, SIZE, SIZE))
    before = [map_.clone() for map_ in first]
    engine.encode(torch.ones(1, 3, SIZE, SIZE))
    for kept, copy in zip(first, before, strict=True):
        assert torch.equal(kept, copy)


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(torch.zeros(3, 3, SIZE, SIZE), id="more-than-max-batch"),
        pytest.param(torch.zeros(0, 3, SIZE, SIZE), id="empty-batch"),
        pytest.param(torch.zeros(1, 3, SIZE, 32), id="not-square"),
        pytest.param(torch.zeros(3, SIZE, SIZE), id="no-batch"),
        pytest.param(torch.zeros(1, 3, SIZE, SIZE, dtype=torch.float64), id="float64"),
    ],
)
def test_a_batch_the_spec_does_not_allow_is_refused(
    engine: EncoderEngine, images: torch.Tensor
) -> None:
    with pytest.raises(ValueError, match="images must be"):
        engine.encode(images)


def test_a_closed_engine_says_so_and_may_be_closed_again(engine: EncoderEngine) -> None:
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.encode(torch.zeros(1, 3, SIZE, SIZE))


def test_an_unknown_device_is_refused(encoder: EfficientNetLite0) -> None:
    with pytest.raises(EngineError, match="unknown device 'tpu'; use auto, cpu or cuda"):
        build_engine("torch", encoder, EngineRequest(SIZE, device="tpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_asking_for_cuda_without_cuda_says_what_to_use(encoder: EfficientNetLite0) -> None:
    with pytest.raises(EngineError, match="'cuda' is not available here; use 'auto' or 'cpu'"):
        build_engine("torch", encoder, EngineRequest(SIZE, device="cuda"))
