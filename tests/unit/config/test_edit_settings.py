from __future__ import annotations

from pathlib import Path

import pytest

from lsm_monitor.config.edit_settings import with_settings
from lsm_monitor.errors import ConfigError

EXAMPLE = Path(__file__).parents[3] / "config" / "monitor.example.yaml"


def test_a_value_of_the_example_is_changed_and_not_another_byte() -> None:
    before, after = with_settings(EXAMPLE, ("defaults",), {"open_for_s": 45})
    assert before == EXAMPLE.read_text()
    changed = [
        (old, new)
        for old, new in zip(before.splitlines(), after.splitlines(), strict=True)
        if old != new
    ]
    ((old, new),) = changed
    assert new == old.replace("30", "45", 1)
    assert "open_for_s" in new


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "defaults: {interval_s: 1, open_for_s: 4s}  # short\n",
            "defaults: {interval_s: 1, open_for_s: 45, levels: {ponding: {enter: 0.1}}}"
            "  # short\n",
            id="in brackets",
        ),
        pytest.param(
            "defaults:\n  open_for_s: 4  # s\n  # the end\ncameras: {}\n",
            "defaults:\n  open_for_s: 45  # s\n  levels:\n    ponding:\n      enter: 0.1\n"
            "  # the end\ncameras: {}\n",
            id="below each other",
        ),
        pytest.param(
            "# mine\nsite: x\n",
            "# mine\nsite: x\ndefaults:\n  open_for_s: 45\n  levels:\n    ponding:\n"
            "      enter: 0.1\n",
            id="no such section",
        ),
        pytest.param(
            "site: x",
            "site: x\ndefaults:\n  open_for_s: 45\n  levels:\n    ponding:\n      enter: 0.1",
            id="no last line break",
        ),
    ],
)
def test_what_is_not_there_is_added_where_it_belongs(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "monitor.yaml"
    path.write_text(text)
    values = {"open_for_s": 45, "levels.ponding.enter": 0.1}
    _, after = with_settings(path, ("defaults",), values)
    assert after == expected


def test_what_an_alias_shares_is_left_to_a_person(tmp_path: Path) -> None:
    path = tmp_path / "monitor.yaml"
    path.write_text("defaults: &d {open_for_s: 4}\ngroups: {a: *d}\n")
    with pytest.raises(ConfigError, match="by hand:\n  defaults:\n    open_for_s: 45"):
        with_settings(path, ("defaults",), {"open_for_s": 45})
