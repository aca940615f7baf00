from __future__ import annotations

import pytest
import torch

from lsm_monitor.model.neck import PyramidNeck


def maps(batch: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(batch, 112, 4, 6, generator=generator),
        torch.randn(batch, 320, 2, 3, generator=generator),
    ]


@pytest.fixture
def neck() -> PyramidNeck:
    torch.manual_seed(0)
    return PyramidNeck((112, 320), 256)


def test_the_embedding_has_the_size_of_the_finer_map_and_no_scale_of_its_own(
    neck: PyramidNeck,
) -> None:
    embedding = neck([100.0 * map_ for map_ in maps()]).detach()
    assert embedding.shape == (2, 256, 4, 6)
    assert abs(embedding.mean()) < 0.01
    assert abs(embedding.std() - 1.0) < 0.01


def test_a_batch_of_two_equals_two_batches_of_one_in_training_too(neck: PyramidNeck) -> None:
    apart = [neck([map_[index : index + 1] for map_ in maps()]) for index in range(2)]
    torch.testing.assert_close(neck(maps()), torch.cat(apart))


def test_both_maps_matter_and_every_parameter_learns(neck: PyramidNeck) -> None:
    inputs = [map_.requires_grad_() for map_ in maps()]
    weights = torch.randn(2, 256, 4, 6)  # a plain sum of normalised values is constant
    torch.autograd.backward((neck(inputs) * weights).sum())
    for tensor in (*inputs, *neck.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.any()
