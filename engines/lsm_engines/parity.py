"""Whether an engine says what PyTorch says.

Errors are told in units of the spread (standard deviation) of what PyTorch answers: one graph's
logits reach from -20 to 20, another's embeddings from -0.5 to 0.5. What is allowed depends on
the arithmetic, :data:`TOLERANCES`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from lsm_engines.api import Precision


@dataclass(frozen=True, slots=True)
class OutputError:
    """How far one output is from PyTorch's.

    Attributes:
        name: The output.
        max_abs: Largest absolute difference; infinite where something is not finite.
        mean_abs: Mean absolute difference, likewise.
        spread: Standard deviation of what PyTorch answers; for a constant its magnitude, or 1.
    """

    name: str
    max_abs: float
    mean_abs: float
    spread: float

    @property
    def max_relative(self) -> float:
        """Largest difference, in spreads."""
        return self.max_abs / self.spread

    @property
    def mean_relative(self) -> float:
        """Mean difference, in spreads."""
        return self.mean_abs / self.spread


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest errors that are allowed, in spreads. ``None``: only the mean counts."""

    mean_relative: float
    max_relative: float | None = None


TOLERANCES: Mapping[Precision, Tolerance] = MappingProxyType(
    {
        "fp32": Tolerance(mean_relative=1e-4, max_relative=1e-3),
        "fp16": Tolerance(mean_relative=0.03),
        "bf16": Tolerance(mean_relative=0.1),
    }
)
"""What is allowed, by arithmetic.

Measured with the compact model on 29 pictures (18 flooded roads, 7 dry or wet streets, 4
rendered ones), against the masks that PyTorch gives:

* fp32 differs by the order of additions: by at most 8e-5 of the spread in any value, and no
  mask changed. What the model needs least is the amplitude image; forgotten, it is 2e-3.
* bf16 has 8 bits. Single values were off by a whole spread and the masks did not mind, so the
  mean is judged: up to 0.07, where the masks, all pixels taken together, had an IoU of 0.997
  with PyTorch's; the worst of them 0.988. With only the encoder in bf16 0.999 and 0.997;
  PyTorch's own bf16 reached 0.08, 0.994 and 0.956. Forgotten pictures or adapters are 0.15.
* fp16 has 11 bits, and an eighth of bf16's error; what is more is an overflow.

There is no int8. The compact encoder quantised after training (ONNX Runtime's static QDQ, a
scale for each channel, calibrated on 8 pictures) was 0.56 off, and no faster than bf16.
"""


def compare(
    names: Sequence[str], found: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]
) -> tuple[OutputError, ...]:
    """Return the error of each output.

    Args:
        names: Of the outputs.
        found: What the engine gave, on any device.
        wanted: What PyTorch gave for the same inputs, of the same shapes.

    Raises:
        ValueError: There are more or fewer outputs than names, or shapes differ.
    """
    return tuple(
        _compare_one(name, one.detach().cpu().float(), other.detach().cpu().float())
        for name, one, other in zip(names, found, wanted, strict=True)
    )


def find_fault(
    errors: Sequence[OutputError],
    precision: Precision,
    tolerances: Mapping[Precision, Tolerance] = TOLERANCES,
) -> str | None:
    """Say which error is larger than allowed, with figures; ``None`` when none is."""
    tolerance = tolerances[precision]
    for error in errors:
        allowed = tolerance.max_relative
        if not error.mean_relative <= tolerance.mean_relative:
            return _excess(error.name, "mean", error.mean_relative, tolerance.mean_relative)
        if allowed is not None and not error.max_relative <= allowed:
            return _excess(error.name, "largest", error.max_relative, allowed)
    return None


def _compare_one(name: str, found: torch.Tensor, wanted: torch.Tensor) -> OutputError:
    if found.shape != wanted.shape:
        msg = f"{name} is {tuple(found.shape)}, PyTorch's is {tuple(wanted.shape)}"
        raise ValueError(msg)
    spread = float(wanted.std(correction=0)) or float(wanted.abs().max()) or 1.0
    difference = (found - wanted).abs()
    if not torch.isfinite(difference).all():
        return OutputError(name, float("inf"), float("inf"), spread)
    return OutputError(name, float(difference.max()), float(difference.mean()), spread)


def _excess(name: str, kind: str, found: float, allowed: float) -> str:
    return f"{kind} error of {name} is {found:.2g} of its spread, {allowed:.2g} is allowed"
