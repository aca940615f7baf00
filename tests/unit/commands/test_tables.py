from __future__ import annotations

import sys

import pytest

from lsm_monitor.commands.tables import print_table

ROWS = [("bridge", "/video/[red]a[/red].mp4"), ("lane", "x")]


def test_a_program_gets_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("camera", "source"), ROWS)
    assert capsys.readouterr().out == (
        "camera\tsource\nbridge\t/video/[red]a[/red].mp4\nlane\tx\n"
    )


def test_a_terminal_gets_columns_and_brackets_stay_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "80")
    print_table(("camera", "source"), ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["camera", "source"] for line in lines)
    assert any(line.split() == ["bridge", "/video/[red]a[/red].mp4"] for line in lines)
