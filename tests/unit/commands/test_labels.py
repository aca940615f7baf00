from __future__ import annotations

from pathlib import Path

import pytest

from lsm_monitor.commands.labels import read_labels
from lsm_monitor.errors import ConfigError
from lsm_monitor.types import WaterLevel
from lsm_monitor.water.scoring import Span

YAML = """\
videos:
  - video: night.mp4
    camera: underpass
    floods:
      - {from: 12:30, to: "1:00:00", level: flooded}
      - {from: 4000, to: 4100.5, level: wet}
  - video: dry.mp4
"""
CSV = """\
video,camera,from,to,level
night.mp4,underpass,12:30,1:00:00,flooded
dry.mp4,,,,
night.mp4,,4000,4100.5,wet
"""


@pytest.mark.parametrize(("name", "text"), [("l.yaml", YAML), ("l.csv", CSV)])
def test_yaml_and_table_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    night, dry = read_labels(path)
    assert (night.video, night.camera) == (tmp_path / "night.mp4", "underpass")
    assert night.spans(WaterLevel.PONDING) == [Span(750.0, 3600.0)]
    assert night.spans(WaterLevel.WET) == [Span(750.0, 3600.0), Span(4000.0, 4100.5)]
    assert night.spans(WaterLevel.SEVERE) == []
    assert (dry.video, dry.floods) == (tmp_path / "dry.mp4", ())


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("l.yaml", YAML.replace('"1:00:00"', "600"), r"l\.yaml:4: .*'to' \(600 s\) must come"),
        ("l.yaml", YAML.replace("4000", "900"), r"l\.yaml:1: .*overlap at 900 s"),
        ("l.yaml", YAML.replace("dry.mp4", "night.mp4"), "is there twice"),
        ("l.yaml", YAML.replace("flooded", "deep"), r"l\.yaml:5: .*level: .*'ponding'"),
        ("l.yaml", "videos: []", "at least 1 item"),
        ("l.csv", CSV.replace("12:30", "half past"), r"l\.csv:2: .*'half past' is no time"),
        ("l.csv", CSV.replace("video,", "file,"), r"l\.csv:1: the first line must name"),
        ("l.csv", CSV.replace("4100.5", ""), r"l\.csv:4: .*to: Field required"),
        ("absent.csv", None, "cannot read"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, name: str, text: str | None, told: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_labels(path)
