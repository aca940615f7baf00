"""Synthetic data sets and clips: real dry roads under water that :mod:`flooding` has made.

Three kinds of pictures come out: flooded, wet (the road shines, but no water stands on it) and
dry (the same roads, by day or night). The latter two have empty masks.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from lsm_train.data import read_picture, shrink
from lsm_train.errors import DataError
from lsm_train.flood_style import FloodStyle, random_flood_style
from lsm_train.flooding import Flooding
from lsm_train.layouts import ImageArray, Layout, MaskFolder, list_images, read_image

FLOODED, WET, DRY = "flooded", "wet", "dry"
_MAX_SIDE_PX = 1280
_JPEG_QUALITY = 92
_LOWEST_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class SyntheticPicture:
    """One row of ``meta.csv``.

    Attributes:
        name: Stem of the file.
        source: Stem of the dry picture it was made from.
        kind: ``flooded``, ``wet`` or ``dry``.
        level: Height of the water, [0, 1].
        water_fraction: Share of the picture's pixels that are water, [0, 1].
    """

    name: str
    source: str
    kind: str
    level: float
    water_fraction: float


def synthesize(
    images: Path,
    roads: Path,
    out: Path,
    *,
    count: int,
    seed: int,
    wet_share: float = 0.15,
    dry_share: float = 0.1,
) -> None:
    """Write a data set in our layout, with ``meta.csv``; the same for the same arguments.

    Args:
        images: Folder of dry pictures.
        roads: Folder of their road masks, without what stands on the road.
        out: Folder to be made; may exist when it is empty.
        count: Number of pictures. The sources take turns.
        seed: Source of chance.
        wet_share: Share of pictures with a wet road without standing water, [0, 1].
        dry_share: Share of pictures with a dry road, [0, 1].

    Raises:
        DataError: Pictures or road masks are missing, damaged or without road (names them
            all), or ``out`` cannot be written.
        ValueError: ``count`` is not positive, or the shares are negative or more than 1
            together.
    """
    if count < 1:
        msg = f"count must be at least 1, got {count}"
        raise ValueError(msg)
    if min(wet_share, dry_share) < 0 or wet_share + dry_share > 1:
        msg = f"wet_share {wet_share:g} and dry_share {dry_share:g} must be shares of 1"
        raise ValueError(msg)
    layout = Layout(images, roads=MaskFolder(roads))
    paths = _checked(layout)
    _make_folders(out)
    rng = np.random.default_rng(seed)
    kinds = [WET] * round(count * wet_share) + [DRY] * round(count * dry_share)
    kinds = [*kinds, *[FLOODED] * count][:count]
    order = rng.permutation(len(paths))
    rows = []
    for index, kind in enumerate(rng.permutation(kinds)):
        path = paths[order[index % len(paths)]]
        picture = shrink(read_picture(path, layout), _MAX_SIDE_PX)
        assert picture.road is not None  # noqa: S101 - the layout has roads
        style = _style_of_kind(str(kind), rng)
        level = round(float(rng.uniform(_LOWEST_LEVEL, 1.0)), 4) if kind == FLOODED else 0.0
        flooding = Flooding(picture.image, picture.road, style)
        image, mask = flooding.render(level, t_s=float(rng.uniform(0.0, 60.0)))
        # The number comes last: with it cut off, splits keep a source's pictures together.
        name = f"{path.stem}_synthetic_{index:05d}"
        _write_picture(out / "images" / f"{name}.jpg", image[..., ::-1])
        _write_picture(out / "masks" / f"{name}.png", mask.astype(np.uint8) * 255)
        fraction = round(float(mask.mean()), 4)
        rows.append(SyntheticPicture(name, path.stem, str(kind), level, fraction))
    _write_table(out / "meta.csv", [asdict(row) for row in rows])


def synthesize_clip(
    image: Path,
    road: Path,
    out: Path,
    *,
    duration_s: float,
    fps: int,
    rise_per_minute: float,
    seed: int,
) -> None:
    """Write a clip of a road that is slowly flooded, and the truth about each frame.

    Args:
        image: The dry road.
        road: Its road mask.
        out: The clip, H.264 in MP4. Beside it, with the suffix ``.csv``: frame, t_s, level,
            water_fraction (share of the clip's pixels).
        duration_s: Length of the clip.
        fps: Frames per second.
        rise_per_minute: Rise of the level per minute, from 0 on; at 1 it stays.
        seed: Source of chance.

    Raises:
        DataError: The picture or its mask cannot be used, or the clip cannot be written.
        ValueError: The clip would not have a frame, or the water would fall.
    """
    frames_count = round(duration_s * fps)
    if frames_count < 1 or rise_per_minute < 0:
        msg = f"cannot make {frames_count} frames with a rise of {rise_per_minute:g} per minute"
        raise ValueError(msg)
    if road.suffix != ".png":
        msg = f"{road}: road masks are PNG files, whose names end in .png"
        raise DataError(msg)
    photograph = read_image(image)
    hw = (photograph.shape[0], photograph.shape[1])
    mask = MaskFolder(road.parent).read(road.stem, hw)
    if not mask.any():
        msg = f"{road}: shows no road"
        raise DataError(msg)
    height, width = (side // 2 * 2 for side in hw)  # H.264 halves the colours' resolution
    style = random_flood_style(np.random.default_rng(seed))
    flooding = Flooding(photograph[:height, :width], mask[:height, :width], style)
    rows: list[dict[str, object]] = []

    def frames() -> Iterator[ImageArray]:
        for index in range(frames_count):
            t_s = index / fps
            level = min(1.0, rise_per_minute * t_s / 60.0)
            frame, water = flooding.render(level, t_s)
            fraction = round(float(water.mean()), 4)
            row = {"frame": index, "t_s": round(t_s, 3), "level": round(level, 4)}
            rows.append({**row, "water_fraction": fraction})
            yield frame

    _write_clip(out, frames(), width_px=width, height_px=height, fps=fps)
    _write_table(out.with_suffix(".csv"), rows)


def _checked(layout: Layout) -> list[Path]:
    """Return the pictures after having read each of them and its road once."""
    problems = []
    paths = list_images(layout.images)
    for path in paths:
        try:
            picture = read_picture(path, layout)
        except DataError as exc:
            problems.append(str(exc))
        else:
            if picture.road is None or not picture.road.any():
                problems.append(f"{path}: its road mask shows no road")
    problems += layout.problems()
    if problems:
        raise DataError("\n".join(problems))
    return paths


def _style_of_kind(kind: str, rng: np.random.Generator) -> FloodStyle:
    style = random_flood_style(rng)
    if kind == WET:
        return replace(style, wetness=float(rng.uniform(0.5, 1.0)))
    if kind == DRY:
        return replace(style, wetness=0.0, rain=0.0)
    return style


def _make_folders(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()):
        msg = f"{out}: is not empty; choose a new folder"
        raise DataError(msg)
    try:
        for kind in ("images", "masks"):
            (out / kind).mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        msg = f"{out}: cannot be made ({exc.strerror})"
        raise DataError(msg) from exc


def _write_picture(path: Path, image: ImageArray) -> None:
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if path.suffix == ".jpg" else []
    _, coded = cv2.imencode(path.suffix, image, quality)
    try:
        path.write_bytes(coded.tobytes())
    except OSError as exc:
        msg = f"{path}: cannot be written ({exc.strerror})"
        raise DataError(msg) from exc


def _write_table(path: Path, rows: list[dict[str, object]]) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0] if rows else ())
            writer.writeheader()
            writer.writerows(rows)
    except OSError as exc:
        msg = f"{path}: cannot be written ({exc.strerror})"
        raise DataError(msg) from exc


def _write_clip(
    path: Path, frames: Iterable[ImageArray], *, width_px: int, height_px: int, fps: int
) -> None:
    reformatter = VideoReformatter()  # one for all: PyAV 18 makes a scaler per frame otherwise
    try:
        with av.open(path, "w", format="mp4") as container:
            stream = container.add_stream(
                "libx264", rate=fps, options={"crf": "20", "preset": "veryfast"}
            )
            stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                container.mux(stream.encode(reformatter.reformat(picture, format="yuv420p")))
            container.mux(stream.encode(None))
    except (OSError, av.FFmpegError) as exc:
        msg = f"{path}: cannot be written ({exc})"
        raise DataError(msg) from exc
