from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from lsm_monitor.capture.camera_memory import CameraMemory
from lsm_monitor.errors import CameraMemoryError
from tests.unit.capture.views import Camera, as_infrared, place


@cache
def learnt() -> CameraMemory:
    return Camera().learns(place(1), as_infrared(place(1))).check.memory()


def test_bytes_and_back_are_the_same_bytes() -> None:
    data = learnt().to_bytes()
    again = CameraMemory.from_bytes(data)
    assert again.to_bytes() == data
    assert [look.light for look in again.looks] == [look.light for look in learnt().looks]
    for before, after in zip(learnt().looks, again.looks, strict=True):
        assert after.pictures == before.pictures
        assert np.abs(after.field - before.field).max() <= 1 / 127
        assert np.array_equal(after.detail.texture, before.detail.texture)


def test_nothing_is_a_memory_too() -> None:
    empty = CameraMemory.from_bytes(CameraMemory().to_bytes())
    assert (empty.looks, empty.is_moved) == ((), False)


def test_a_memory_is_small() -> None:
    assert len(learnt().to_bytes()) < 30_000 * len(learnt().looks)


@given(cut=st.integers(0, 100_000), flip=st.integers(1, 255))
def test_any_damage_is_refused(cut: int, flip: int) -> None:
    data = bytearray(learnt().to_bytes())
    position = cut % len(data)
    with pytest.raises(CameraMemoryError):
        CameraMemory.from_bytes(bytes(data[:position]))
    data[position] ^= flip
    with pytest.raises(CameraMemoryError):
        CameraMemory.from_bytes(bytes(data))


@pytest.mark.parametrize(
    "arrays",
    [
        pytest.param({}, id="nothing in it"),
        pytest.param({"numbers": np.zeros((1, 7))}, id="a part of it"),
        pytest.param({"numbers": np.zeros((9, 7))}, id="too many looks"),
        pytest.param({"numbers": np.full((1, 7), np.nan)}, id="no numbers"),
        pytest.param({"numbers": np.zeros((1, 3))}, id="another shape"),
        pytest.param({"numbers": np.zeros((1, 7), np.float32)}, id="another type"),
    ],
)
def test_what_is_signed_but_is_no_memory_is_refused(arrays: dict[str, np.ndarray]) -> None:
    body = save(arrays)
    signed = b"lsm-camera-memory/1\n" + hashlib.sha256(body).digest() + body
    with pytest.raises(CameraMemoryError, match="cannot be used"):
        CameraMemory.from_bytes(signed)


def test_another_version_is_refused_with_words() -> None:
    data = learnt().to_bytes().replace(b"memory/1", b"memory/2", 1)
    with pytest.raises(CameraMemoryError, match="another version"):
        CameraMemory.from_bytes(data)
