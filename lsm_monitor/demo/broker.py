"""An MQTT broker inside this process: loopback only, open to anyone there, gone afterwards.

For the demo, so that nothing has to be installed first. amqtt speaks MQTT 3.1.1.
"""

from __future__ import annotations

import asyncio
from typing import Self

from amqtt import errors as amqtt_errors
from amqtt.broker import Broker

from lsm_monitor.demo.loop_thread import LoopThread
from lsm_monitor.errors import BrokerError

_TIMEOUT_S = 10.0
_ANONYMOUS = "amqtt.plugins.authentication.AnonymousAuthPlugin"


class MortalBroker(Broker):  # type: ignore[misc]  # amqtt is untyped
    """amqtt's broker, but its end is sure and leaves nothing open.

    By itself it stops listening last, so that clients are let in while it goes; and it
    cancels readers that may miss it (``wait_for`` in Python 3.11 can swallow a
    cancellation), which makes its ``shutdown`` hang for ever.
    """

    def __init__(self, config: dict[str, object]) -> None:
        super().__init__(config)
        self._writers: list[asyncio.StreamWriter] = []

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Serve a client, and remember its socket."""
        self._writers.append(writer)
        await super().stream_connected(reader, writer, listener_name)

    async def shutdown(self) -> None:
        """Stop listening, hang up on everybody, and end."""
        for server in self._servers.values():
            await server.close_instance()
        for writer in self._writers:
            writer.close()
        await super().shutdown()
        closed = (writer.wait_closed() for writer in self._writers)
        await asyncio.gather(*closed, return_exceptions=True)


class DemoBroker:
    """Runs between ``start`` and ``stop``; also a context manager.

    Args:
        port: TCP port on 127.0.0.1, 0 for a free one.
    """

    def __init__(self, *, port: int = 0) -> None:
        self._port = port
        self._thread: LoopThread | None = None
        self._broker: MortalBroker | None = None

    @property
    def port(self) -> int:
        """Port it listens on; known after ``start``, and kept."""
        return self._port

    def start(self) -> int:
        """Listen; return the port.

        Raises:
            BrokerError: The port is taken.
        """
        self._thread = LoopThread("demo-broker")
        self._thread.start()
        try:
            self._port = self._thread.call(self._listen(), timeout_s=_TIMEOUT_S)
        except (amqtt_errors.BrokerError, OSError) as exc:
            self._thread.stop()
            self._thread = None
            msg = f"cannot listen on 127.0.0.1:{self._port} for MQTT ({type(exc).__name__})"
            raise BrokerError(msg) from exc
        return self._port

    def stop(self) -> None:
        """Disconnect every client, close the port and end the thread; idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.call(self._close(), timeout_s=_TIMEOUT_S)
            thread.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _listen(self) -> int:
        self._broker = MortalBroker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self._port}"}},
                "plugins": {_ANONYMOUS: {"allow_anonymous": True}},
            }
        )
        await self._broker.start()
        # amqtt has no other way to learn which port it was given.
        server = self._broker._servers["default"].instance  # noqa: SLF001
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        assert self._broker is not None  # noqa: S101 - start came before
        await self._broker.shutdown()
