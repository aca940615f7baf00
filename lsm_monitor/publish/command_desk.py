"""The service that takes commands from the inbox, has them obeyed, and answers each.

One after the other: two reloads at once make no sense, and a thousand cameras that are
switched by a script need order, not haste. Whoever asks gets exactly one answer on
``cmd/reply``: done, refused (the command is wrong), limited (too many), or failed.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

from lsm_monitor.clock import Clock
from lsm_monitor.errors import LsmMonitorError
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.command_parser import parse
from lsm_monitor.publish.commands import Command, Known, Reload, Request
from lsm_monitor.publish.inbox import InboundMessage, Inbox
from lsm_monitor.publish.payloads import rfc3339
from lsm_monitor.publish.rate import Rate, TokenBucket
from lsm_monitor.publish.topics import Topics
from lsm_monitor.types import OutboundMessage

logger = logging.getLogger(__name__)

_ANSWER_WITHIN_S = 60.0
_MAX_DETAIL_CHARACTERS = 300
_MAX_TOPIC_CHARACTERS = 200
_HOME_ASSISTANT = "home_assistant"
# A reload reads and checks a whole city; a script may well switch a thousand cameras.
_RATES = {
    "reload": Rate(burst=3, per_s=0.1),
    "snapshot": Rate(burst=20, per_s=1.0),
    _HOME_ASSISTANT: Rate(burst=2, per_s=0.1),
}
_OTHER_RATE = Rate(burst=2000, per_s=50.0)


class CommandDesk:
    """Obeys; see :meth:`run`.

    Args:
        site: Name of the installation; stands in every answer.
        topics: Where commands come from and answers go.
        inbox: Where commands wait.
        known: Returns the names that a command may use now.
        on_command: Obeys a command and returns what was done, one sentence; raises
            ``CommandError`` when it cannot. Called on the event loop, one at a time, and
            cancelled after a minute; a reload must go on all the same.
        reply: Publishes an answer.
        birth_topic: Where Home Assistant says that it has started; ``None``: not listened to.
        on_birth: Called when it has.
        metrics: Counts commands.
        clock: Time.
    """

    name = "commands"

    def __init__(
        self,
        *,
        site: str,
        topics: Topics,
        inbox: Inbox,
        known: Callable[[], Known],
        on_command: Callable[[Command], Awaitable[str]],
        reply: Callable[[OutboundMessage], None],
        birth_topic: str | None = None,
        on_birth: Callable[[], None] = lambda: None,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._site = site
        self._topics = topics
        self._inbox = inbox
        self._known = known
        self._on_command = on_command
        self._reply = reply
        self._birth_topic = birth_topic
        self._on_birth = on_birth
        self._metrics = metrics
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}

    async def run(self) -> None:
        """Obey until cancelled."""
        while True:
            message = await self._inbox.next()
            if message.topic == self._birth_topic:
                self._greet(message)
            else:
                await self._answer(message)

    def _greet(self, message: InboundMessage) -> None:
        """Tell Home Assistant again what there is: it has just started."""
        if message.payload == b"online" and self._may(_HOME_ASSISTANT):
            self._on_birth()

    async def _answer(self, message: InboundMessage) -> None:
        request = parse(
            message, topics=self._topics, known=self._known(), now=self._clock.now()
        )
        if request.kind == "unknown" and message.retain:
            # Nobody's command: a broker that takes '+' too generously (amqtt) sends back what
            # we have retained ourselves.
            self._metrics.commands.labels(request.kind, "ignored").inc()
            return
        outcome, detail = await self._obey(request)
        self._metrics.commands.labels(request.kind, outcome).inc()
        if outcome != "limited":
            logger.info("command %s: %s (%s)", request.kind, outcome, detail)
        payload = self._reply_payload(message, request, outcome, detail)
        self._reply(OutboundMessage(self._topics.command_reply, payload, qos=1, retain=False))

    async def _obey(self, request: Request) -> tuple[str, str]:
        """Return what became of a request, and what there is to say about it."""
        if not self._may(request.kind):
            return "limited", "too many of these; try again in a few seconds"
        if request.command is None:
            return "refused", request.refusal
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                return "done", await self._on_command(request.command)
        except LsmMonitorError as exc:
            return "failed", str(exc)
        except TimeoutError:
            return "failed", f"not done within {_ANSWER_WITHIN_S:g} s{self._prospect(request)}"

    def _prospect(self, request: Request) -> str:
        """Return what becomes of a request that takes too long for its answer."""
        if not isinstance(request.command, Reload):
            return ""
        return f"; the reload goes on, and '{self._topics.info}' will say what came of it"

    def _may(self, kind: str) -> bool:
        now_s = self._clock.monotonic_s()
        bucket = self._buckets.setdefault(
            kind, TokenBucket(_RATES.get(kind, _OTHER_RATE), now_s)
        )
        return bucket.take(now_s)

    def _reply_payload(
        self, message: InboundMessage, request: Request, outcome: str, detail: str
    ) -> bytes:
        """Return the answer; see ``reply.schema.json``."""
        content = {
            "schema": "lsm.reply/1",
            "site": self._site,
            "command": request.kind,
            "topic": message.topic[:_MAX_TOPIC_CHARACTERS],
            "outcome": outcome,
            "detail": detail[:_MAX_DETAIL_CHARACTERS],
            "correlation_id": request.correlation_id,
            "sent_at": rfc3339(self._clock.now()),
        }
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        return text.encode(errors="replace")
