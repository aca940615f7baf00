"""Bundles: what training hands to the daemon.

A bundle is a folder with two files: ``manifest.json`` says what the model is, how it was made
and what its weights must look like; ``weights.safetensors`` holds nothing but tensors.
Nothing in a bundle is code, so a bundle from a stranger can be wrong but not harmful.
Loading checks everything before the first frame: a damaged model that starts is worse than
one that does not.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError

from lsm_monitor.errors import BundleError
from lsm_monitor.model.build import ModelParts, WaterModel, build_model
from lsm_monitor.model.preprocess import PREPROCESSING

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "weights.safetensors"
SHIPPED = Path(__file__).resolve().parent.parent / "bundles"

_REINSTALL = "the bundle is damaged; copy or export it again, or reinstall lsm-monitor"


class _Section(BaseModel):
    """Base of the manifest's sections: immutable and strict about keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PartsSection(_Section):
    """Names for :mod:`lsm_monitor.model.build`."""

    image_encoder: str
    small_model: str


class DataSetSection(_Section):
    """One data set the weights were trained on."""

    name: str
    licence: str
    pictures: int = Field(ge=1)


class WeightsSection(_Section):
    """What the weights file must be."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=1)


class Manifest(_Section):
    """``manifest.json``."""

    format_version: Literal[1]
    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    version: str = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=1)
    input_size_px: int = Field(ge=32, le=4096, multiple_of=32)
    preprocessing: str
    parts: PartsSection
    threshold: float = Field(gt=0.0, lt=1.0, description="Probability that counts as water.")
    trained_on: tuple[DataSetSection, ...]
    metrics: Mapping[str, float | None] = Field(description="Figures on the val split.")
    software: Mapping[str, str]
    weights: WeightsSection

    @property
    def model_parts(self) -> ModelParts:
        """What :func:`build_model` needs."""
        return ModelParts(self.parts.image_encoder, self.parts.small_model, self.input_size_px)


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A checked bundle: ``model`` is on the CPU in evaluation mode, float32."""

    manifest: Manifest
    model: WaterModel


def shipped_bundles() -> tuple[str, ...]:
    """Return the names of the bundles inside the package, sorted."""
    return tuple(sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST_FILE}")))


def load_bundle(name_or_path: str | Path) -> Bundle:
    """Read and check a bundle.

    Args:
        name_or_path: Name of a shipped bundle, or the path of a bundle's folder.

    Raises:
        BundleError: The bundle is missing, damaged, or made for another version.
    """
    folder = _find(name_or_path)
    manifest = _read_manifest(folder / MANIFEST_FILE)
    weights_path = folder / WEIGHTS_FILE
    tensors = _read_weights(weights_path, manifest.weights)
    try:
        model = build_model(manifest.model_parts)
    except ValueError as exc:
        msg = f"{folder / MANIFEST_FILE}: {exc}; update lsm-monitor"
        raise BundleError(msg) from exc
    _check_tensors(weights_path, tensors, model.state_dict())
    model.load_state_dict(tensors)  # copies into float32 parameters
    return Bundle(manifest, model.eval())


def save_bundle(
    folder: Path, manifest: Mapping[str, object], state: Mapping[str, torch.Tensor]
) -> Manifest:
    """Write a bundle; replaces ``folder`` only once everything is on disk.

    Convolution weights are stored as float16, which halves the file; everything else keeps
    its type (batch norm variances would underflow).

    Args:
        folder: Where the bundle is to be.
        manifest: The manifest's fields without ``format_version``, ``preprocessing`` and
            ``weights``, which are filled in.
        state: State of a :class:`WaterModel`.

    Returns:
        The complete manifest.

    Raises:
        BundleError: The manifest is invalid, or the folder cannot be written.
    """
    data = safetensors.torch.save(
        {
            name: (tensor.half() if tensor.ndim == 4 else tensor).contiguous()  # noqa: PLR2004
            for name, tensor in state.items()
        }
    )
    weights = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    fixed = {"format_version": FORMAT_VERSION, "preprocessing": PREPROCESSING}
    complete = _validate(folder / MANIFEST_FILE, {**fixed, **manifest, "weights": weights})
    try:
        _replace_folder(
            folder,
            {
                MANIFEST_FILE: (complete.model_dump_json(indent=2) + "\n").encode(),
                WEIGHTS_FILE: data,
            },
        )
    except OSError as exc:
        msg = f"{folder}: cannot write the bundle ({exc.strerror}); choose another folder"
        raise BundleError(msg) from exc
    return complete


def _replace_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".bundle-") as temporary:
        fresh = Path(temporary, "fresh")
        fresh.mkdir()
        for name, content in files.items():
            with (fresh / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        if folder.exists():
            folder.rename(Path(temporary, "old"))
        fresh.rename(folder)


def _find(name_or_path: str | Path) -> Path:
    """Return the folder of a bundle."""
    text = str(name_or_path)
    shipped = shipped_bundles()
    if text in shipped:
        return SHIPPED / text
    folder = Path(name_or_path)
    if folder.is_dir():
        return folder
    close = difflib.get_close_matches(text, shipped, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"shipped are: {', '.join(shipped)}"
    msg = f"{text}: no such bundle; it is neither a folder nor a shipped name; {hint}"
    raise BundleError(msg)


def _read_manifest(path: Path) -> Manifest:
    try:
        content = json.loads(_read_file(path))
    except ValueError as exc:  # broken JSON, or not UTF-8
        msg = f"{path}: is not JSON ({exc}); {_REINSTALL}"
        raise BundleError(msg) from exc
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        msg = (
            f"{path}: format version {version!r}, this lsm-monitor reads {FORMAT_VERSION}; "
            "export the bundle again with the matching lsm-train, or update lsm-monitor"
        )
        raise BundleError(msg)
    manifest = _validate(path, content)
    if manifest.preprocessing != PREPROCESSING:
        msg = (
            f"{path}: preprocessing {manifest.preprocessing!r}, this lsm-monitor does "
            f"{PREPROCESSING!r}; export the bundle again, or use the matching lsm-monitor"
        )
        raise BundleError(msg)
    return manifest


def _validate(path: Path, content: Mapping[str, object]) -> Manifest:
    try:
        return Manifest.model_validate(content)
    except ValidationError as exc:
        problems = "; ".join(
            f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors()
        )
        msg = f"{path}: {problems}; {_REINSTALL}"
        raise BundleError(msg) from exc


def _read_weights(path: Path, expected: WeightsSection) -> dict[str, torch.Tensor]:
    data = _read_file(path)
    if len(data) != expected.bytes:
        msg = f"{path}: has {len(data)} bytes instead of {expected.bytes}; {_REINSTALL}"
        raise BundleError(msg)
    if hashlib.sha256(data).hexdigest() != expected.sha256:
        msg = f"{path}: its SHA-256 is not the one in {MANIFEST_FILE}; {_REINSTALL}"
        raise BundleError(msg)
    try:
        return safetensors.torch.load(data)
    except SafetensorError as exc:
        msg = f"{path}: is not a safetensors file ({exc}); {_REINSTALL}"
        raise BundleError(msg) from exc


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        msg = f"{path}: cannot be read ({exc.strerror}); {_REINSTALL}"
        raise BundleError(msg) from exc


def _check_tensors(
    path: Path, found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> None:
    """Raise unless ``found`` has the names and shapes of ``expected`` and finite values."""
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} is unknown" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        is_shape, must_shape = tuple(found[name].shape), tuple(expected[name].shape)
        if is_shape != must_shape:
            problems.append(f"{name} is {is_shape} instead of {must_shape}")
        elif not torch.isfinite(found[name]).all():
            problems.append(f"{name} has values that are not finite")
    if problems:
        shown = sorted(problems)[:3]
        more = f" and {len(problems) - len(shown)} more" if len(problems) > len(shown) else ""
        msg = f"{path}: {'; '.join(shown)}{more}; {_REINSTALL}"
        raise BundleError(msg)
