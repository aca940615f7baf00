"""Commands are obeyed one after the other, and each is answered once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import jsonschema
import pytest

from lsm_monitor.errors import CommandError
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish import command_desk
from lsm_monitor.publish.command_desk import CommandDesk
from lsm_monitor.publish.commands import Command, Known, Reload, SetEnabled
from lsm_monitor.publish.inbox import CAPACITY, InboundMessage, Inbox
from lsm_monitor.types import OutboundMessage
from tests.fakes import FakeClock
from tests.unit.publish.scenes import TOPICS, UNDERPASS
from tests.unit.publish.test_payloads import GOLDEN, schema_of

RELOAD = InboundMessage("lsm/v1/hz-west/cmd/reload", b'{"correlation_id":"r-1"}')
ENABLE = InboundMessage(f"lsm/v1/hz-west/camera/{UNDERPASS}/enabled/set", b"ON")
RETAINED = InboundMessage(ENABLE.topic, b"ON", retain=True)
BIRTH = InboundMessage("homeassistant/status", b"online")
GOES_ON = "; the reload goes on, and 'lsm/v1/hz-west/info' will say what came of it"


class Desk:
    """A desk, and what became of what was put on it."""

    def __init__(self, obey: Callable[[Command], Awaitable[str]] | None = None) -> None:
        self.metrics, self.clock = Metrics(), FakeClock()
        self.obeyed: list[Command] = []
        self.replies: list[OutboundMessage] = []
        self.births = 0
        self.inbox = Inbox(self._drop)
        self.dropped = 0
        self._news = asyncio.Event()
        self.desk = CommandDesk(
            site="hz-west",
            topics=TOPICS,
            inbox=self.inbox,
            known=lambda: Known(cameras=frozenset({UNDERPASS})),
            on_command=obey or self._obey,
            reply=self._note,
            birth_topic="homeassistant/status",
            on_birth=self._bear,
            metrics=self.metrics,
            clock=self.clock,
        )

    async def _obey(self, command: Command) -> str:
        self.obeyed.append(command)
        return "done as asked"

    def _note(self, reply: OutboundMessage) -> None:
        self.replies.append(reply)
        self._news.set()

    def _bear(self) -> None:
        self.births += 1

    def _drop(self) -> None:
        self.dropped += 1

    def work_off(self, *steps: Sequence[InboundMessage], answers: int) -> list[bytes]:
        """Put messages in the inbox from another thread; return the answers.

        The ``answers`` of each step are waited for, and ten seconds pass after it.
        """

        async def work() -> None:
            running = asyncio.create_task(self.desk.run())
            for number, messages in enumerate(steps, start=1):
                for message in messages:
                    await asyncio.to_thread(self.inbox.put, message)
                async with asyncio.timeout(10):
                    while len(self.replies) < answers * number:
                        self._news.clear()
                        await self._news.wait()
                self.clock.now_s += 10.0
            running.cancel()
            await asyncio.wait([running])

        asyncio.run(work())
        return [reply.payload for reply in self.replies]


def outcomes(payloads: Sequence[bytes]) -> list[str]:
    return [json.loads(payload)["outcome"] for payload in payloads]


@pytest.mark.parametrize(("message", "name"), [(RELOAD, "done"), (RETAINED, "refused")])
def test_the_answer_on_the_wire_is_that_of_the_golden_file(
    message: InboundMessage, name: str
) -> None:
    desk = Desk()
    (payload,) = desk.work_off([message], answers=1)
    assert payload + b"\n" == (GOLDEN / f"reply_{name}.json").read_bytes()
    schema = schema_of("reply")
    jsonschema.Draft202012Validator(schema).validate(json.loads(payload))
    assert list(json.loads(payload)) == schema["required"]
    assert [(r.topic, r.qos, r.retain) for r in desk.replies] == [
        ("lsm/v1/hz-west/cmd/reply", 1, False)
    ]


def test_commands_are_obeyed_in_order_and_counted() -> None:
    desk = Desk()
    answers = desk.work_off([RELOAD, ENABLE, RETAINED, ENABLE], answers=4)
    assert desk.obeyed == [Reload(), *[SetEnabled(UNDERPASS, enabled=True)] * 2]
    assert outcomes(answers) == ["done", "done", "refused", "done"]
    counted = desk.metrics.snapshot()
    assert counted['lsm_commands_total{command="enabled",outcome="done"}'] == 2
    assert counted['lsm_commands_total{command="enabled",outcome="refused"}'] == 1


def test_what_cannot_be_done_is_said() -> None:
    async def fail(_: Command) -> str:
        msg = "the new configuration has 2 problems; the log has them"
        raise CommandError(msg)

    (answer,) = Desk(fail).work_off([RELOAD], answers=1)
    assert json.loads(answer)["outcome"] == "failed"
    assert "2 problems" in json.loads(answer)["detail"]


@pytest.mark.parametrize(("message", "prospect"), [(RELOAD, GOES_ON), (ENABLE, "")])
def test_what_takes_too_long_is_answered_and_a_reload_is_said_to_go_on(
    monkeypatch: pytest.MonkeyPatch, message: InboundMessage, prospect: str
) -> None:
    monkeypatch.setattr(command_desk, "_ANSWER_WITHIN_S", 0.01)

    async def never(_: Command) -> str:
        await asyncio.Event().wait()
        return ""

    (answer,) = Desk(never).work_off([message], answers=1)
    assert json.loads(answer)["outcome"] == "failed"
    assert json.loads(answer)["detail"] == f"not done within 0.01 s{prospect}"


def test_too_many_reloads_are_answered_but_not_obeyed() -> None:
    desk = Desk()
    answers = desk.work_off([RELOAD] * 5, [RELOAD] * 5, answers=5)
    assert outcomes(answers) == ["done"] * 3 + ["limited"] * 2 + ["done"] + ["limited"] * 4


def test_a_script_may_switch_a_thousand_cameras_at_once() -> None:
    desk = Desk()
    assert set(outcomes(desk.work_off([ENABLE] * 1000, answers=1000))) == {"done"}


def test_home_assistant_is_greeted_when_it_starts_and_not_over_and_over() -> None:
    desk = Desk()
    offline = InboundMessage(BIRTH.topic, b"offline")
    desk.work_off([offline, *[BIRTH] * 10, RELOAD], answers=1)
    assert desk.births == 2
    assert desk.obeyed == [Reload()]


def test_a_full_inbox_drops_the_newest_and_says_so() -> None:
    dropped: list[int] = []
    inbox = Inbox(lambda: dropped.append(1))
    for number in range(CAPACITY + 5):
        inbox.put(InboundMessage(str(number), b""))

    async def take() -> list[str]:
        return [(await inbox.next()).topic for _ in range(CAPACITY)]

    assert asyncio.run(take()) == [str(number) for number in range(CAPACITY)]
    assert len(dropped) == 5


def test_no_message_fills_the_memory() -> None:
    inbox = Inbox(lambda: None)
    inbox.put(InboundMessage("t" * 60_000, bytes(1_000_000), correlation=bytes(60_000)))
    message = asyncio.run(inbox.next())
    assert len(message.topic) + len(message.payload) + len(message.correlation or b"") < 10_000
