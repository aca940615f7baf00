"""The exceptions that the trainer raises on purpose."""

from __future__ import annotations


class TrainError(Exception):
    """Base of every error raised on purpose by the trainer."""


class RecipeError(TrainError):
    """A recipe cannot be used as it is; the text has one line per problem."""


class DataError(TrainError):
    """Pictures or masks are missing or damaged; the text names them all."""


class RunError(TrainError):
    """The folder of a training run cannot be written, or holds no usable checkpoint."""


class GuardError(TrainError):
    """A fitted model is worse than the one before, and was not written."""
