"""How a bundle stores tensors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.storage import pack, unpack

matrices = arrays.arrays(
    "float32",
    st.tuples(st.integers(1, 5), st.integers(1, 9)),
    elements=st.floats(-1000.0, 1000.0, width=32, allow_subnormal=False),
).map(torch.from_numpy)


@given(matrices)
def test_a_weight_is_off_by_less_than_a_hundredth_of_its_channels_largest(
    weight: torch.Tensor,
) -> None:
    found = unpack(pack({"layer.weight": weight}))["layer.weight"]
    largest = weight.abs().amax(1, keepdim=True)
    assert found.shape == weight.shape
    assert found.dtype == torch.float32
    assert ((found - weight).abs() <= 0.01 * largest).all()


@given(matrices)
def test_storing_what_was_loaded_stores_the_same(weight: torch.Tensor) -> None:
    once = pack({"layer.weight": weight})
    again = pack(unpack(once))
    assert once.keys() == again.keys()
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_only_weights_of_convolutions_and_linear_layers_are_rounded(model: LsmAdapter) -> None:
    state = model.state_dict()
    loaded = unpack(pack(state))
    assert loaded.keys() == state.keys()
    changed = {name for name in state if not torch.equal(loaded[name], state[name])}
    assert "head.mask_decoder.transformer.layers.0.mlp.lin1.weight" in changed
    assert all(name.endswith(".weight") and state[name].ndim > 1 for name in changed)


def test_a_weight_without_its_scales_is_an_error() -> None:
    packed = pack({"layer.weight": torch.ones(3, 2)})
    with pytest.raises(
        ValueError, match=r"layer\.weight has no scale for each of its channels"
    ):
        unpack({"layer.weight": packed["layer.weight"]})
    with pytest.raises(ValueError, match="no scale"):
        unpack({**packed, "layer.weight.scale": torch.ones(2)})


def test_an_8_bit_number_without_channels_is_an_error() -> None:
    number = torch.tensor(3, dtype=torch.int8)
    numbers = torch.ones(3, dtype=torch.int8)
    for packed in (
        {"layer": number},
        {"layer": number, "layer.scale": torch.tensor(1.0)},
        {"layer": numbers, "layer.scale": torch.ones(3)},
    ):
        with pytest.raises(ValueError, match="layer has no scale for each of its channels"):
            unpack(packed)


def test_a_scale_that_nothing_can_be_multiplied_by_is_an_error() -> None:
    packed = pack({"layer.weight": torch.ones(3, 2)})
    scale = packed["layer.weight.scale"].to(torch.float8_e4m3fn)
    with pytest.raises(ValueError, match=r"layer\.weight has no scale"):
        unpack({**packed, "layer.weight.scale": scale})
