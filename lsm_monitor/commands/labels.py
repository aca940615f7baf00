"""Which floods recorded videos show: what people wrote down, for ``tune`` to learn from.

A YAML file with every video, also those without a flood, or a table with one row per flood:

    videos:
      - video: night.mp4          # beside this file
        camera: underpass         # whose zones; default: the whole picture
        began_at: 2026-07-01T21:00:00Z    # needed for verdicts only
        floods:
          - {from: "12:30", to: "48:00", level: flooded}
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from lsm_monitor.config.base import FilePath, Section
from lsm_monitor.config.document import Document, UnreadableError, parse, read_text
from lsm_monitor.errors import ConfigError
from lsm_monitor.types import WaterLevel
from lsm_monitor.water.scoring import Span

_COLUMNS = ("video", "from", "to", "level", "camera", "began_at")
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")


def _video_s(value: object) -> object:
    """Return "1:02:03.5", "2:03" and "123.5" as seconds."""
    if not isinstance(value, str):
        return value
    match = _CLOCK.fullmatch(value.strip())
    if match is not None:
        return 3600.0 * int(match[1] or 0) + 60.0 * int(match[2]) + float(match[3])
    try:
        return float(value)
    except ValueError:
        msg = f"{value!r} is no time in a video; write seconds, or 1:02:03"
        raise ValueError(msg) from None


VideoSeconds = Annotated[float, BeforeValidator(_video_s), Field(ge=0.0)]


class FloodLabel(Section):
    """One flood: times of the video, and the highest level it came to."""

    model_config = ConfigDict(populate_by_name=True)

    from_s: VideoSeconds = Field(alias="from")
    to_s: VideoSeconds = Field(alias="to")
    level: Literal["wet", "ponding", "flooded", "severe"] = "ponding"

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        if not self.from_s < self.to_s:
            msg = f"'to' ({self.to_s:g} s) must come after 'from' ({self.from_s:g} s)"
            raise ValueError(msg)
        return self


class VideoLabels(Section):
    """One video, and every flood in it."""

    video: FilePath
    camera: str | None = None
    began_at: AwareDatetime | None = None
    floods: tuple[FloodLabel, ...] = ()

    @model_validator(mode="after")
    def _floods_are_apart(self) -> Self:
        ordered = sorted(self.floods, key=lambda flood: flood.from_s)
        for one, other in itertools.pairwise(ordered):
            if other.from_s < one.to_s:
                msg = f"two floods overlap at {other.from_s:g} s; make them one"
                raise ValueError(msg)
        return self

    def spans(self, least: WaterLevel) -> list[Span]:
        """Return the floods that came to ``least`` or higher."""
        order = list(WaterLevel)
        return [
            Span(flood.from_s, flood.to_s)
            for flood in self.floods
            if order.index(WaterLevel(flood.level)) >= order.index(least)
        ]


class LabelFile(Section):
    """A file of labels."""

    videos: tuple[VideoLabels, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_video_once(self) -> Self:
        seen: set[Path] = set()
        for each in self.videos:
            if each.video in seen:
                msg = f"{each.video} is there twice; put its floods together"
                raise ValueError(msg)
            seen.add(each.video)
        return self


def read_labels(path: Path) -> tuple[VideoLabels, ...]:
    """Return what the file says; paths of videos are relative to it.

    Raises:
        ConfigError: It cannot be read, or is wrong: one line per problem.
    """
    document = _table(path) if path.suffix.lower() == ".csv" else parse(path, path.name)
    if not document.problems:
        try:
            return LabelFile.model_validate(
                document.data, context={"base_dir": path.parent}
            ).videos
        except ValidationError as exc:
            for error in exc.errors(include_url=False, include_input=False):
                text = error["msg"].removeprefix("Value error, ")
                document.add(error["loc"], text)
    raise ConfigError("\n".join(problem.render() for problem in document.problems))


def _table(path: Path) -> Document:
    """Return a table as if it were written in YAML; a row without times is a dry video."""
    document = Document(path.name)
    try:
        document.text = read_text(path)
    except UnreadableError as exc:
        document.add_at(exc.line, (), str(exc))
        return document
    reader = csv.DictReader(io.StringIO(document.text))
    unknown = set(reader.fieldnames or ()) - set(_COLUMNS)
    if unknown or "video" not in (reader.fieldnames or ()):
        text = f"the first line must name columns of {', '.join(_COLUMNS)}; 'video' is needed"
        document.add_at(1, (), text)
        return document
    videos: dict[str, dict[str, Any]] = {}
    for row in reader:
        cells = {key: value.strip() for key, value in _cells(row)}
        name = cells.pop("video", "")
        video = videos.setdefault(name, {"video": name, "floods": []})
        index = list(videos).index(name)
        document.lines.setdefault(("videos", index), reader.line_num)
        video |= {key: cells.pop(key) for key in ("camera", "began_at") if key in cells}
        if cells:
            document.lines["videos", index, "floods", len(video["floods"])] = reader.line_num
            video["floods"].append(cells)
    document.data = {"videos": list(videos.values())}
    return document


def _cells(row: dict[str | Any, str | Any]) -> Iterator[tuple[str, str]]:
    """Yield the cells that say something; more cells than columns have no name."""
    for key, value in row.items():
        if isinstance(key, str) and isinstance(value, str) and value.strip():
            yield key, value
