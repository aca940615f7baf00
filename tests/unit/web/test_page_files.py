"""The page's files, as far as they can be checked without a browser."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

import lsm_monitor
from lsm_monitor.evidence.sidecar import EvidenceKind
from lsm_monitor.types import HealthCode, HealthState, Trend, Verdict, WaterLevel

STATIC = Path(lsm_monitor.__file__).parent / "web/static"
VENDOR = STATIC / "vendor"
OWN_SCRIPTS = sorted(path for path in STATIC.rglob("*.js") if VENDOR not in path.parents)
LANGUAGES = sorted((STATIC / "i18n").glob("*.json"))
ENGLISH: dict[str, str] = json.loads((STATIC / "i18n/en.json").read_text())
_IMPORT = re.compile(r"""(?:from|import) ?\(?["']([\w./@-]+)["']""")


def test_each_library_is_the_file_that_its_manifest_names() -> None:
    manifest = json.loads((VENDOR / "manifest.json").read_text())
    named = {
        file: sha for package in manifest.values() for file, sha in package["sha256"].items()
    }
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.js")
    }
    assert found == named


def test_each_library_carries_its_licence() -> None:
    for path in VENDOR.glob("*.js"):
        assert "Licen" in path.read_text()[:400], path.name


@pytest.mark.parametrize("script", sorted(STATIC.rglob("*.js")), ids=lambda path: path.name)
def test_each_import_is_a_file_of_the_page(script: Path) -> None:
    for name in _IMPORT.findall(script.read_text()):
        assert name.startswith("."), f"{script.name} imports {name}"
        assert (script.parent / name).resolve().is_file(), f"{script.name} imports {name}"


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path in [*OWN_SCRIPTS, *STATIC.glob("*.css"), STATIC / "index.html"]:
        assert not re.search(r"https?://(?!www\.w3\.org)|[\"'(]//\w", path.read_text()), (
            path.name
        )


def test_the_page_has_nothing_that_a_strict_content_policy_forbids() -> None:
    assert not re.search(
        r"<style|\sstyle=|\son\w+=|<script(?! [^>]*src=)", index := _index()
    ), index
    for path in OWN_SCRIPTS:
        text = path.read_text()
        assert not re.search(r"innerHTML|insertAdjacentHTML|\beval\(|new Function", text), path


def test_every_module_of_the_first_view_is_loaded_at_once() -> None:
    preloaded = set(re.findall(r'modulepreload" href="static/__VERSION__/([^"]+)"', _index()))
    needed, seen = [STATIC / "main.js"], set[Path]()
    while needed:
        script = needed.pop()
        if script in seen:
            continue
        seen.add(script)
        text = re.sub(r"import\([^)]*\)", "", script.read_text())  # those are for later
        needed += [(script.parent / name).resolve() for name in _IMPORT.findall(text)]
    assert preloaded == {str(path.relative_to(STATIC)) for path in seen - {STATIC / "main.js"}}


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_each_language_says_the_same_with_the_same_values(path: Path) -> None:
    words: dict[str, str] = json.loads(path.read_text())
    assert list(words) == sorted(words)
    assert words.keys() == ENGLISH.keys()
    for key, text in words.items():
        assert text.strip(), key
        assert set(_values(text)) == set(_values(ENGLISH[key])), key


def test_each_text_that_a_script_asks_for_exists_and_each_that_exists_is_asked_for() -> None:
    scripts = "\n".join(path.read_text() for path in OWN_SCRIPTS)
    asked = set(re.findall(r'\bt\(\s*"([^"]+)"', scripts))
    asked |= {
        one for pair in re.findall(r'\? "([\w.]+)" : "([\w.]+)"', scripts) for one in pair
    }
    prefixes = set(re.findall(r"\bt\(`([\w.]+\.)\$\{", scripts))
    prefixes |= {"code."}
    missing = {key for key in asked if key not in ENGLISH and "." in key}
    assert not missing
    idle = {key for key in ENGLISH if key not in asked and not key.startswith(tuple(prefixes))}
    assert not idle


def test_each_word_of_the_daemon_has_a_text() -> None:
    words = [f"level.{each}" for each in WaterLevel] + [
        f"health.{each}" for each in HealthState
    ]
    words += [f"code.{each}" for each in HealthCode] + [f"trend.{each}" for each in Trend]
    words += [f"verdict.{each}" for each in Verdict]
    words += [f"evidence.{each}" for each in EvidenceKind]
    assert [word for word in words if word not in ENGLISH] == []


def _index() -> str:
    return (STATIC / "index.html").read_text()


def _values(text: str) -> set[str]:
    return set(re.findall(r"\{\w+\}", text))
