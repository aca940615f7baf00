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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError

from lsm_monitor.errors import BundleError
from lsm_monitor.model.build import build_model, official_checkpoint
from lsm_monitor.model.bundle_files import REINSTALL, is_folder, read_file, write_files
from lsm_monitor.model.low_rank import factors, fresh_factors, load_factors
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import ModelParts
from lsm_monitor.model.postprocess import WaterRule
from lsm_monitor.model.sam_vit import SamVit
from lsm_monitor.model.storage import pack, unpack
from lsm_monitor.model.weights import load_official_encoder

FORMAT_VERSION = 2
MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "weights.safetensors"
FILES = (MANIFEST_FILE, WEIGHTS_FILE)
SHIPPED = Path(__file__).resolve().parent.parent / "bundles"

_IMAGE_ENCODER = "encoder.image_encoder."
_NUMBERS = frozenset(
    {torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32}
)


class _Section(BaseModel):
    """Base of the manifest's sections: immutable and strict about keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class WaterSection(_Section):
    """What counts as water; see :class:`lsm_monitor.model.postprocess.WaterRule`."""

    threshold: float = Field(gt=0.0, lt=1.0)
    core_threshold: float = Field(gt=0.0, lt=1.0)
    core_share: float = Field(ge=0.0, le=1.0)


class DataSetSection(_Section):
    """One data set the weights were trained on."""

    name: str
    licence: str
    pictures: int = Field(ge=1)


class WeightsSection(_Section):
    """What the weights file must be."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=1)


class LineageSection(_Section):
    """The bundle that this one was fitted from, by ``lsm-train adapt``."""

    name: str
    version: str
    sha256: str = Field(description="Of its weights.")
    rank: int = Field(ge=1, le=64, description="Of the low-rank updates.")
    pictures: Mapping[str, int] = Field(description="Pictures by what was said about them.")


class Manifest(_Section):
    """``manifest.json``."""

    format_version: Literal[2]
    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    version: str = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=1)
    preprocessing: str = Field(description="Name of the normalisation.")
    parts: ModelParts
    water: WaterSection
    trained_on: tuple[DataSetSection, ...]
    metrics: Mapping[str, float | None] = Field(description="Figures on the val split.")
    software: Mapping[str, str]
    lineage: LineageSection | None = None
    weights: WeightsSection

    @model_validator(mode="after")
    def _classes_are_the_decoders(self) -> Self:
        if self.classes != self.parts.classes:
            msg = f"'classes' are not the decoder's: {', '.join(self.parts.classes)}"
            raise ValueError(msg)
        return self

    @property
    def water_rule(self) -> WaterRule:
        """What counts as water."""
        return WaterRule(**self.water.model_dump())


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A checked bundle: ``model`` is on the CPU in evaluation mode, float32."""

    manifest: Manifest
    model: LsmAdapter


def shipped_bundles() -> tuple[str, ...]:
    """Return the names of the bundles inside the package, sorted."""
    return tuple(sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST_FILE}")))


def load_bundle(name_or_path: str | Path) -> Bundle:
    """Read and check a bundle.

    Args:
        name_or_path: Name of a shipped bundle, or the path of a bundle's folder.

    Raises:
        BundleError: The bundle is missing, damaged, or made for another version.
        WeightsError: The official checkpoint that it builds on is missing or another file.
    """
    folder = _find(name_or_path)
    manifest = _read_manifest(folder / MANIFEST_FILE)
    weights_path = folder / WEIGHTS_FILE
    tensors = _read_weights(weights_path, manifest.weights)
    try:
        model = build_model(manifest.parts)
    except ValueError as exc:
        msg = f"{folder / MANIFEST_FILE}: {exc}; update lsm-monitor"
        raise BundleError(msg) from exc
    name = model.preprocessor.normalisation.name
    if manifest.preprocessing != name:
        msg = (
            f"{folder / MANIFEST_FILE}: preprocessing {manifest.preprocessing!r}, this "
            f"lsm-monitor does {name!r}; export the bundle again, or use the matching one"
        )
        raise BundleError(msg)
    checkpoint = official_checkpoint(manifest.parts)
    encoder = model.encoder.image_encoder
    # What an official encoder has learned since is stored beside it, not in it.
    rank = 0 if checkpoint is None or manifest.lineage is None else manifest.lineage.rank
    updates = fresh_factors(encoder, rank, _IMAGE_ENCODER) if rank else {}
    _check_tensors(weights_path, tensors, stored_state(manifest.parts, model) | updates)
    model.load_state_dict(tensors, strict=False)  # copies into float32 parameters
    if checkpoint is not None:
        assert isinstance(encoder, SamVit)  # noqa: S101 - only these have a checkpoint
        load_official_encoder(checkpoint, encoder)
    if rank:
        load_factors(encoder, rank, tensors, _IMAGE_ENCODER)
    return Bundle(manifest, model.eval())


def stored_state(parts: ModelParts, model: LsmAdapter) -> dict[str, torch.Tensor]:
    """Return the tensors that a bundle holds: all but those of an official checkpoint.

    Of an official encoder with low-rank updates not yet merged, it holds the updates; those of
    ``encoder_tuning`` must have been merged.
    """
    state = model.state_dict()
    if official_checkpoint(parts) is None:
        return state
    updates = factors(model.encoder.image_encoder, _IMAGE_ENCODER)
    stored = {
        name: value for name, value in state.items() if not name.startswith(_IMAGE_ENCODER)
    }
    return stored | updates


def save_bundle(
    folder: Path, manifest: Mapping[str, object], state: Mapping[str, torch.Tensor]
) -> Manifest:
    """Write a bundle; replaces ``folder`` only once everything is on disk.

    Args:
        folder: Where the bundle is to be.
        manifest: The manifest's fields without ``format_version`` and ``weights``, which are
            filled in.
        state: What :func:`stored_state` returns.

    Returns:
        The complete manifest.

    Raises:
        BundleError: The manifest is invalid, or the folder cannot be written.
    """
    data = safetensors.torch.save(pack(state))
    weights = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    fields = {"format_version": FORMAT_VERSION, **manifest, "weights": weights}
    complete = _validate(folder / MANIFEST_FILE, fields)
    text = (complete.model_dump_json(indent=2) + "\n").encode()
    write_files(folder, {MANIFEST_FILE: text, WEIGHTS_FILE: data})
    return complete


def publish_bundle(candidate: Path, folder: Path) -> None:
    """Replace ``folder`` by the bundle in ``candidate``, as it is.

    Raises:
        BundleError: ``candidate`` cannot be read, or ``folder`` not be written.
    """
    write_files(folder, {name: read_file(candidate / name) for name in FILES})


def _find(name_or_path: str | Path) -> Path:
    """Return the folder of a bundle."""
    text = str(name_or_path)
    shipped = shipped_bundles()
    if text in shipped:
        return SHIPPED / text
    folder = Path(name_or_path)
    if is_folder(folder):
        return folder
    close = difflib.get_close_matches(text, shipped, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"shipped are: {', '.join(shipped)}"
    msg = f"{text}: no such bundle; it is neither a folder nor a shipped name; {hint}"
    raise BundleError(msg)


def _read_manifest(path: Path) -> Manifest:
    try:
        content = json.loads(read_file(path))
    except (ValueError, RecursionError) as exc:  # broken, not UTF-8, or nested without end
        msg = f"{path}: is not JSON ({exc}); {REINSTALL}"
        raise BundleError(msg) from exc
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        msg = (
            f"{path}: format version {version!r}, this lsm-monitor reads {FORMAT_VERSION}; "
            "export the bundle again with the matching lsm-train, or update lsm-monitor"
        )
        raise BundleError(msg)
    return _validate(path, content)


def _validate(path: Path, content: Mapping[str, object]) -> Manifest:
    try:
        return Manifest.model_validate(content)
    except ValidationError as exc:
        problems = "; ".join(
            f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors()
        )
        msg = f"{path}: {problems}; {REINSTALL}"
        raise BundleError(msg) from exc


def _read_weights(path: Path, expected: WeightsSection) -> dict[str, torch.Tensor]:
    data = read_file(path)
    if len(data) != expected.bytes:
        msg = f"{path}: has {len(data)} bytes instead of {expected.bytes}; {REINSTALL}"
        raise BundleError(msg)
    if hashlib.sha256(data).hexdigest() != expected.sha256:
        msg = f"{path}: its SHA-256 is not the one in {MANIFEST_FILE}; {REINSTALL}"
        raise BundleError(msg)
    try:
        return unpack(safetensors.torch.load(data))
    except ValueError as exc:
        msg = f"{path}: {exc}; {REINSTALL}"
        raise BundleError(msg) from exc
    except (SafetensorError, KeyError) as exc:  # KeyError: a type that its reader lacks
        msg = f"{path}: is not a safetensors file that can be read ({exc}); {REINSTALL}"
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
        elif found[name].dtype not in _NUMBERS:
            problems.append(f"{name} holds {str(found[name].dtype).removeprefix('torch.')}")
        elif not torch.isfinite(found[name].to(expected[name].dtype)).all():
            problems.append(f"{name} has values that are not finite")
    if problems:
        shown = sorted(problems)[:3]
        more = f" and {len(problems) - len(shown)} more" if len(problems) > len(shown) else ""
        msg = f"{path}: {'; '.join(shown)}{more}; {REINSTALL}"
        raise BundleError(msg)
