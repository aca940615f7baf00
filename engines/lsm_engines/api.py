"""What every encoder engine promises.

A backend is anything that fulfils :class:`EncoderEngine`. Parity with the PyTorch encoder is
part of the promise: same pictures, same maps, within a tolerance the backend's test states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "fp16", "bf16"]


class EngineError(Exception):
    """A backend is unknown, not installed, or cannot run here; the text says what to do."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What is ready to run.

    Attributes:
        backend: Runtime that executes the encoder.
        precision: Arithmetic inside the encoder; input and output are always float32.
        device: Where it runs, in torch's words: ``cpu``, ``cuda``.
        image_size: Side S of the square input, in pixels.
        embedding_shapes: (C, h, w) of each output map without the batch, finest first. SAM
            has one map, a pyramid encoder several.
        max_batch: Largest batch that one call takes.
    """

    backend: str
    precision: Precision
    device: str
    image_size: int
    embedding_shapes: tuple[tuple[int, int, int], ...]
    max_batch: int


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What the caller wants.

    Attributes:
        image_size: Side S of the square input, in pixels.
        device: ``cpu``, ``cuda``, or ``auto`` for the fastest one present.
        threads: CPU threads; 0 leaves the choice to the runtime.
        max_batch: Largest batch that one call will take.
    """

    image_size: int
    device: str = "auto"
    threads: int = 0
    max_batch: int = 1


class EncoderEngine(Protocol):
    """Image encoder, ready to run. Not thread-safe: one thread owns it."""

    @property
    def spec(self) -> EngineSpec:
        """What is ready to run."""
        ...

    def encode(
        self, images: torch.Tensor, frequencies: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Return image embeddings.

        Args:
            images: (B, 3, S, S) float32, normalised, contiguous, on any device,
                1 <= B <= ``spec.max_batch``.
            frequencies: (B, 3, S, S) float32, high frequencies of the same pictures, for the
                encoder's adapter; an encoder without one does not look at them.

        Returns:
            One (B, C, h, w) float32 for each of ``spec.embedding_shapes``, on the device of
            the engine. The memory belongs to the caller; later calls do not overwrite it.

        Raises:
            ValueError: One of them has another shape or dtype.
            EngineError: The runtime failed.
        """
        ...

    def close(self) -> None:
        """Free device memory. Calling it twice is allowed."""
        ...
