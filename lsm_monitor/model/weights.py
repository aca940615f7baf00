"""The official SAM checkpoints: which there are, where they lie, and how they are loaded.

They are Meta's, Apache-2.0, and too large to ship; ``lsm-monitor weights fetch`` gets them
(:mod:`lsm_monitor.model.download`). A file is used only when its SHA-256 is the published one,
and loaded strictly in both directions: every tensor of the file has its place, every parameter
gets its tensor. Half a checkpoint runs as well as a whole one, and finds nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - nothing is unpickled; torch.load raises it
from types import MappingProxyType

import torch
from torch import nn

from lsm_monitor.errors import WeightsError
from lsm_monitor.model.mask_decoder import MaskDecoder
from lsm_monitor.model.prompt_encoder import PromptEncoder
from lsm_monitor.model.sam_vit import SamVit

_BASE_URL = "https://dl.fbaipublicfiles.com/segment_anything"
# Prefixes of SAM's parts in its checkpoints.
_IMAGE_ENCODER, _PROMPT_ENCODER, _MASK_DECODER = (
    "image_encoder.",
    "prompt_encoder.",
    "mask_decoder.",
)
# What our mask decoder has and SAM's has not.
_OURS = (f"{_MASK_DECODER}high_res_projections.", f"{_MASK_DECODER}class_head.")
_ARCHIVE = b"PK\x03\x04"  # torch reads older formats too; no official checkpoint has one
# What torch.load raises on damaged files: seen with 16,000 files of a few changed bytes.
_DAMAGE = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    UnpicklingError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One published file.

    Attributes:
        name: What it is called here.
        url: Where it is published.
        size_bytes: Its exact size.
        sha256: Its SHA-256, 64 lower-case hexadecimal digits.
    """

    name: str
    url: str
    size_bytes: int
    sha256: str

    def path(self, folder: Path) -> Path:
        """Return where the file lies in the weights folder."""
        return folder / self.url.rsplit("/", 1)[-1]


# Sizes and digests as published by several independent projects; facts, not measured here.
CHECKPOINTS: Mapping[str, Checkpoint] = MappingProxyType(
    {
        checkpoint.name: checkpoint
        for checkpoint in (
            Checkpoint(
                name="sam_vit_b",
                url=f"{_BASE_URL}/sam_vit_b_01ec64.pth",
                size_bytes=375_042_383,
                sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            ),
            Checkpoint(
                name="sam_vit_l",
                url=f"{_BASE_URL}/sam_vit_l_0b3195.pth",
                size_bytes=1_249_524_607,
                sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
            ),
            Checkpoint(
                name="sam_vit_h",
                url=f"{_BASE_URL}/sam_vit_h_4b8939.pth",
                size_bytes=2_564_550_879,
                sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
            ),
        )
    }
)


def weights_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the checkpoints, which need not exist.

    It is ``$LSM_WEIGHTS_DIR``, else ``lsm-monitor/weights`` in ``$XDG_CACHE_HOME`` or, as that
    defaults to, in ``~/.cache``. Empty variables count as unset.

    Raises:
        WeightsError: Neither is set, and there is no home folder.
    """
    own = environ.get("LSM_WEIGHTS_DIR")
    if own:
        return Path(own)
    cache = environ.get("XDG_CACHE_HOME")
    try:
        base = Path(cache) if cache else Path.home() / ".cache"
    except RuntimeError as exc:
        msg = "official checkpoints: there is no home folder; set LSM_WEIGHTS_DIR to a folder"
        raise WeightsError(msg) from exc
    return base / "lsm-monitor" / "weights"


def verify(checkpoint: Checkpoint, folder: Path) -> Path:
    """Return the path of a checkpoint that is the published one, byte for byte.

    Raises:
        WeightsError: It is missing, cannot be read, or is another file.
    """
    path = checkpoint.path(folder)
    remedy = f"type: lsm-monitor weights fetch {checkpoint.name}"
    check_published(checkpoint, path, remedy=remedy)
    return path


def check_published(checkpoint: Checkpoint, path: Path, *, remedy: str) -> None:
    """Check that the file at ``path`` is the published one, wherever it lies.

    Raises:
        WeightsError: It is not, or cannot be read; the text ends with ``remedy``.
    """
    try:
        size_bytes = path.stat().st_size
        if size_bytes != checkpoint.size_bytes:
            problem = f"has {size_bytes} bytes instead of {checkpoint.size_bytes}"
        else:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            if sha256 == checkpoint.sha256:
                return
            problem = f"has SHA-256 {sha256} instead of {checkpoint.sha256}"
    except FileNotFoundError:
        problem = "is missing"
    except OSError as exc:
        problem = f"cannot be read ({exc.strerror})"
    msg = f"{checkpoint.name}: {path} {problem}; {remedy}"
    raise WeightsError(msg)


def load_official_encoder(name: str, image_encoder: SamVit) -> None:
    """Load the image encoder of an official checkpoint, after verifying the file.

    Args:
        name: Key of ``CHECKPOINTS``.
        image_encoder: Of the same dimensions; its input size may differ from SAM's.

    Raises:
        WeightsError: The file is missing, not the published one, or does not fit.
    """
    path = verify(CHECKPOINTS[name], weights_folder(os.environ))
    _load(path, {_IMAGE_ENCODER: image_encoder})


def load_sam_checkpoint(
    path: Path,
    *,
    image_encoder: SamVit | None,
    prompt_encoder: PromptEncoder,
    mask_decoder: MaskDecoder,
) -> None:
    """Load a checkpoint of SAM into its parts.

    Args:
        path: File with SAM's names, such as the official ones.
        image_encoder: ``None`` for a model with another encoder: the file's is left out.
        prompt_encoder: Gets all its tensors.
        mask_decoder: Gets all its tensors but ``high_res_projections`` and the class head,
            which SAM has not.

    Raises:
        WeightsError: The file cannot be read, has a tensor without a place, lacks one, or has
            one of another shape. Nothing has been loaded then.
    """
    parts: dict[str, nn.Module] = {_PROMPT_ENCODER: prompt_encoder, _MASK_DECODER: mask_decoder}
    if image_encoder is not None:
        parts[_IMAGE_ENCODER] = image_encoder
    _load(path, parts)


def _load(path: Path, parts: Mapping[str, nn.Module]) -> None:
    """Load a file into ``parts``, by prefix; SAM's other parts in the file are passed over."""
    file_state = _read(path)
    states: dict[str, dict[str, torch.Tensor]] = {}
    for prefix, part in parts.items():
        state = {
            name.removeprefix(prefix): file_state.pop(name)
            for name in list(file_state)
            if name.startswith(prefix)
        }
        states[prefix] = part.fit_positions(state) if isinstance(part, SamVit) else state
    absent = tuple({_IMAGE_ENCODER, _PROMPT_ENCODER, _MASK_DECODER} - parts.keys())
    problems = [f"{name} is unknown" for name in file_state if not name.startswith(absent)]
    for prefix, part in parts.items():
        problems += _mismatches(prefix, states[prefix], part.state_dict())
    if problems:
        shown = "; ".join(sorted(problems)[:3])
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""  # noqa: PLR2004
        msg = f"{path}: does not fit this model: {shown}{more}; use the checkpoint of its size"
        raise WeightsError(msg)
    for prefix, part in parts.items():
        part.load_state_dict(states[prefix], strict=False)  # checked above, but for _OURS


def _mismatches(
    prefix: str, found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> list[str]:
    """Return one line for each tensor that is unknown, missing or of another shape."""
    problems = [f"{prefix}{name} is unknown" for name in found if name not in expected]
    for name, tensor in expected.items():
        must_shape = tuple(tensor.shape)
        if name not in found:
            if not f"{prefix}{name}".startswith(_OURS):
                problems.append(f"{prefix}{name} is missing")
        elif (is_shape := tuple(found[name].shape)) != must_shape:
            problems.append(f"{prefix}{name} is {is_shape} instead of {must_shape}")
    return problems


def _read(path: Path) -> dict[str, torch.Tensor]:
    remedy = "use an official SAM checkpoint; type: lsm-monitor weights list"
    try:
        with path.open("rb") as file:
            is_archive = file.read(len(_ARCHIVE)) == _ARCHIVE
            file.seek(0)
            content = torch.load(file, "cpu", weights_only=True) if is_archive else None
    except OSError as exc:
        msg = f"{path}: cannot be read ({exc.strerror})"
        raise WeightsError(msg) from exc
    except _DAMAGE as exc:
        msg = f"{path}: is damaged; {remedy}"
        raise WeightsError(msg) from exc
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in content.items()
    ):
        msg = f"{path}: is not a file of named tensors; {remedy}"
        raise WeightsError(msg)
    return content
