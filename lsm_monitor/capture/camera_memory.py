"""What a camera has learnt about its view, as a value that survives a restart.

The bytes are safetensors (arrays and nothing that runs) behind a name, a version and a hash:
what was cut off, written by another version or by somebody else is refused, and the camera
learns anew. Edges are kept in steps of 1/127.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lsm_monitor.capture.detail import GRID_WH, Detail
from lsm_monitor.capture.edges import FIELD_WH
from lsm_monitor.capture.look import Light, Look
from lsm_monitor.errors import CameraMemoryError

_NAME: Final = b"lsm-camera-memory/1\n"
_HASH_BYTES: Final = 32
_STEPS: Final = 127
# At most one look per light: see look.Light.
_MAX_LOOKS: Final = 8
_FIELD_SHAPE: Final = (FIELD_WH[1], FIELD_WH[0], 2)
_GRID_SHAPE: Final = (GRID_WH[1], GRID_WH[0])
_NUMBERS: Final = 7

Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True, eq=False)
class CameraMemory:
    """The looks of one camera's view.

    Attributes:
        looks: At most one per light.
        is_moved: Whether the camera was turned away from them when this was taken.
    """

    looks: tuple[Look, ...] = ()
    is_moved: bool = False

    def to_bytes(self) -> bytes:
        """Return the memory as bytes, 21 kB per look."""
        parts = [np.stack([look.field.real, look.field.imag], -1) for look in self.looks]
        numbers = [
            (
                float(look.light.is_grey),
                float(look.light.brightness),
                float(look.pictures),
                look.agreement,
                look.still_mean,
                look.still_variance,
                float(look.is_on_trial),
            )
            for look in self.looks
        ]
        body = save(
            {
                "fields": np.round(_stacked(parts, _FIELD_SHAPE) * _STEPS).astype(np.int8),
                "texture": _stacked([look.detail.texture for look in self.looks], _GRID_SHAPE),
                "sharpness": _stacked(
                    [look.detail.sharpness for look in self.looks], _GRID_SHAPE
                ),
                "numbers": np.array(numbers, np.float64).reshape(-1, _NUMBERS),
                "is_moved": np.array([self.is_moved], np.bool_),
            }
        )
        return _NAME + hashlib.sha256(body).digest() + body

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return what :meth:`to_bytes` wrote.

        Raises:
            CameraMemoryError: The bytes are damaged, or of another version or kind.
        """
        head = len(_NAME) + _HASH_BYTES
        body = data[head:]
        if not data.startswith(_NAME):
            msg = "not what a camera has learnt, or of another version"
            raise CameraMemoryError(msg)
        if hashlib.sha256(body).digest() != data[len(_NAME) : head]:
            msg = "what the camera had learnt is damaged"
            raise CameraMemoryError(msg)
        try:
            return cls._from_arrays(load(body))
        except (SafetensorError, KeyError, ValueError) as exc:
            msg = f"what the camera had learnt cannot be used ({type(exc).__name__}: {exc})"
            raise CameraMemoryError(msg) from None

    @classmethod
    def _from_arrays(cls, arrays: Arrays) -> Self:
        numbers = _checked(arrays, "numbers", (_NUMBERS,), np.float64)
        count = len(numbers)
        if count > _MAX_LOOKS:
            msg = f"{count} looks"
            raise ValueError(msg)
        steps = _checked(arrays, "fields", _FIELD_SHAPE, np.int8, count)
        fields = steps.astype(np.float32) / _STEPS
        texture = _checked(arrays, "texture", _GRID_SHAPE, np.float32, count)
        sharpness = _checked(arrays, "sharpness", _GRID_SHAPE, np.float32, count)
        is_moved = _checked(arrays, "is_moved", (), np.bool_, 1)
        looks = tuple(
            Look(
                light=Light(bool(row[0]), int(row[1])),
                pictures=int(row[2]),
                field=(fields[index, ..., 0] + 1j * fields[index, ..., 1]).astype(np.complex64),
                detail=Detail(texture[index], sharpness[index]),
                agreement=float(row[3]),
                still_mean=float(row[4]),
                still_variance=float(row[5]),
                is_on_trial=bool(row[6]),
            )
            for index, row in enumerate(numbers)
        )
        return cls(looks, bool(is_moved[0]))


def _stacked(
    arrays: list[npt.NDArray[np.float32]], shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    return np.array(arrays, np.float32).reshape(-1, *shape)


def _checked(
    arrays: Arrays,
    name: str,
    shape: tuple[int, ...],
    dtype: type[np.generic],
    count: int | None = None,
) -> npt.NDArray[np.generic]:
    array = arrays[name]
    if array.shape[1:] != shape or array.dtype != dtype or array.ndim != len(shape) + 1:
        msg = f"{name} is {array.dtype} {array.shape}"
        raise ValueError(msg)
    if count is not None and len(array) != count:
        msg = f"{len(array)} of {name} instead of {count}"
        raise ValueError(msg)
    if not np.isfinite(array).all():
        msg = f"{name} is not finite"
        raise ValueError(msg)
    return array
