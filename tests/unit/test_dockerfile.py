"""What of the Dockerfile can be known without a registry."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.http_daemon import HttpDaemon

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_everything_it_copies_is_there_and_not_ignored() -> None:
    kept = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert sources
    assert sources <= kept
    assert all((ROOT / source).exists() for source in sources)


def test_it_does_not_run_as_root() -> None:
    last_stage = TEXT.split("\nFROM ")[-1]
    assert last_stage.index("\nUSER 10001:10001\n") < last_stage.index("\nENTRYPOINT")


@pytest.mark.parametrize("standing_still", [[], ["inference"]])
def test_the_health_check_fails_exactly_when_the_daemon_is_not_healthy(
    standing_still: list[str],
) -> None:
    match = re.search(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", TEXT, re.MULTILINE)
    assert match is not None
    _python, *arguments = json.loads(match[1])
    with HttpDaemon() as daemon:
        daemon.standing_still = standing_still
        arguments = [text.replace(":9109/", f":{daemon.port}/") for text in arguments]
        check = subprocess.run(  # noqa: S603
            [sys.executable, *arguments], check=False, capture_output=True
        )
    assert (check.returncode == 0) is (not standing_still)
