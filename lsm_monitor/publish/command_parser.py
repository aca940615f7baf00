"""From a message to a command, or to the reason why not.

Nothing about a message is to be trusted: not its topic, not its bytes, not who sent it. What
is not understood completely is refused, with a reason that says what to send instead; the
parser never raises. A retained message is always refused (the Homie convention): the broker
would repeat it with every connection, for ever, long after whoever sent it has gone.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple, NoReturn, cast, get_args
from uuid import UUID

from lsm_monitor.config.watching import Mode
from lsm_monitor.publish.commands import (
    Command,
    Known,
    Reload,
    Request,
    SetContext,
    SetEnabled,
    SetMode,
    SetProfile,
    TakeSnapshot,
)
from lsm_monitor.publish.inbox import MAX_PAYLOAD_BYTES, InboundMessage
from lsm_monitor.publish.topics import Topics
from lsm_monitor.types import Acknowledgement, CameraId, Feedback, Verdict

_MAX_CORRELATION_CHARACTERS = 128
_MAX_WORD_CHARACTERS = 200
_MAX_BY_CHARACTERS = 100
_MAX_NOTE_CHARACTERS = 1000
_SWITCH = frozenset({"ON", "OFF"})
_DEFAULT = "default"
"""Takes a setting back: as configured."""
_MAX_CONTEXT_S = 7 * 86400.0


class _RefusedError(Exception):
    """The text is the reason, for the sender."""


def parse(message: InboundMessage, *, topics: Topics, known: Known, now: datetime) -> Request:
    """Return what ``message`` asks for, or why it is refused; never raises."""
    levels = topics.levels_below(message.topic)
    kind = _kind_of(levels)
    correlation_id = _correlation_of(message)
    try:
        body = _Body(message)
        correlation_id = body.correlation_id or correlation_id
        command = _MAKERS[kind](_Asked(levels[1] if len(levels) > 1 else "", body, known, now))
        body.refuse_unknown()
    except _RefusedError as exc:
        return Request(kind, None, str(exc), correlation_id)
    return Request(kind, command, "", correlation_id)


def _kind_of(levels: list[str]) -> str:
    match levels:
        case ["cmd", "reload" | "snapshot" as kind]:
            return kind
        case ["camera", _, "enabled" | "mode" | "profile" as kind, "set"]:
            return kind
        case ["context", _, "set"]:
            return "context"
        case ["event", _, "feedback" | "acknowledge" as kind]:
            return kind
        case _:
            return "unknown"


class _Asked(NamedTuple):
    """Everything that a command is made of."""

    name: str  # the topic's second level below ours: a camera, a context, an event
    body: _Body
    known: Known
    now: datetime

    def camera(self, name: str) -> CameraId:
        return CameraId(_name(name, self.known.cameras, "camera"))


def _snapshot(asked: _Asked) -> TakeSnapshot:
    return TakeSnapshot(asked.camera(asked.body.text("camera", longest=_MAX_WORD_CHARACTERS)))


def _enabled(asked: _Asked) -> SetEnabled:
    camera_id, value = asked.camera(asked.name), _one_of(asked.body, _SWITCH | {_DEFAULT})
    return SetEnabled(camera_id, None if value == _DEFAULT else value == "ON")


def _mode(asked: _Asked) -> SetMode:
    camera_id = asked.camera(asked.name)
    mode = _one_of(asked.body, frozenset(get_args(Mode)) | {_DEFAULT})
    return SetMode(camera_id, None if mode == _DEFAULT else cast("Mode", mode))


def _profile(asked: _Asked) -> SetProfile:
    camera_id = asked.camera(asked.name)
    profile = _one_of(asked.body, asked.known.profiles | {_DEFAULT})
    return SetProfile(camera_id, None if profile == _DEFAULT else profile)


def _context(asked: _Asked) -> SetContext:
    name = _name(asked.name, asked.known.contexts, "context")
    is_active = _one_of(asked.body, _SWITCH) == "ON"
    return SetContext(name, is_active, asked.body.seconds("for_s"))


def _feedback(asked: _Asked) -> Feedback:
    event_id, body = _event_id(asked, "feedback"), asked.body
    verdict = body.text("verdict", longest=_MAX_WORD_CHARACTERS)
    if verdict not in set(Verdict):
        _refuse(f"'verdict' must be one of {', '.join(Verdict)}")
    note = body.text("note", longest=_MAX_NOTE_CHARACTERS, default="")
    by = body.text("by", longest=_MAX_BY_CHARACTERS, default="")
    return Feedback(event_id, Verdict(verdict), note, by, asked.now)


def _acknowledge(asked: _Asked) -> Acknowledgement:
    event_id = _event_id(asked, "acknowledge")
    by = asked.body.text("by", longest=_MAX_BY_CHARACTERS, default="")
    return Acknowledgement(event_id, by, asked.now)


def _event_id(asked: _Asked, verb: str) -> UUID:
    try:
        event_id = UUID(asked.name)
    except ValueError:
        event_id = None
    if event_id is None or str(event_id) != asked.name:
        _refuse(f"the topic names no event; write event/<event_id>/{verb}")
    return event_id


def _unknown(_: _Asked) -> NoReturn:
    _refuse("no command on this topic; the documentation lists those there are")


_MAKERS: Mapping[str, Callable[[_Asked], Command]] = {
    "reload": lambda _: Reload(),
    "snapshot": _snapshot,
    "enabled": _enabled,
    "mode": _mode,
    "profile": _profile,
    "context": _context,
    "feedback": _feedback,
    "acknowledge": _acknowledge,
    "unknown": _unknown,
}


class _Body:
    """The payload: a JSON object, or a single word that stands for ``{"value": word}``."""

    def __init__(self, message: InboundMessage) -> None:
        if message.retain:
            _refuse("retained; publish commands without the retain flag, and remove this one")
        if len(message.payload) > MAX_PAYLOAD_BYTES:
            _refuse(f"longer than {MAX_PAYLOAD_BYTES} bytes")
        try:
            text = message.payload.decode("utf-8")
        except UnicodeDecodeError:
            _refuse("not UTF-8 text")
        self._fields = _fields_of(text)
        self._read = {"correlation_id"}
        self.correlation_id = self.text(
            "correlation_id", longest=_MAX_CORRELATION_CHARACTERS, default=""
        )

    def value(self) -> str:
        return self.text("value", longest=_MAX_WORD_CHARACTERS)

    def text(self, name: str, *, longest: int, default: str | None = None) -> str:
        """Return a field that must be a text without control characters."""
        self._read.add(name)
        value = self._fields.get(name, default)
        if not isinstance(value, str):
            _refuse(f"'{name}' must be a text" if name in self._fields else f"no '{name}'")
        if len(value) > longest:
            _refuse(f"'{name}' is longer than {longest} characters")
        if not is_clean(value):
            _refuse(f"'{name}' has characters that are no text")
        return value

    def seconds(self, name: str) -> float | None:
        """Return a field that may be missing and must be a positive number."""
        self._read.add(name)
        value = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            _refuse(f"'{name}' must be a number of seconds")
        if not 0 < value <= _MAX_CONTEXT_S:
            _refuse(f"'{name}' must be above 0 and at most {_MAX_CONTEXT_S:g} seconds")
        return float(value)

    def refuse_unknown(self) -> None:
        unknown = sorted(set(self._fields) - self._read)
        if unknown:
            allowed = ", ".join(sorted(self._read))
            _refuse(f"unknown field {unknown[0][:50]!r}; there are: {allowed}")


def _fields_of(text: str) -> Mapping[str, object]:
    if not text.strip():
        return {}
    if not text.lstrip().startswith("{"):
        return {"value": text.strip()}
    try:
        fields = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        _refuse("no valid JSON")
    return dict(fields)


def _refuse_constant(name: str) -> NoReturn:
    _refuse(f"{name} is not JSON")


def is_clean(text: str) -> bool:
    """Return whether ``text`` can be stored and shown: no controls, no half characters."""
    return all(
        character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs", "Cf"}
        for character in text
    )


def _correlation_of(message: InboundMessage) -> str | None:
    """Return MQTT 5 correlation data as text: as it is, or in hexadecimal digits."""
    if not message.correlation:
        return None
    try:
        text = message.correlation.decode("utf-8")
    except UnicodeDecodeError:
        text = message.correlation.hex()
    text = text if is_clean(text) else message.correlation.hex()
    return text[:_MAX_CORRELATION_CHARACTERS]


def _one_of(body: _Body, names: frozenset[str]) -> str:
    value = body.value()
    if value not in names:
        _refuse(f"write one of {', '.join(sorted(names)[:20])}")
    return value


def _name(name: str, names: frozenset[str], what: str) -> str:
    if name not in names:
        _refuse(f"no {what} has this name")
    return name


def _refuse(reason: str) -> NoReturn:
    raise _RefusedError(reason)
