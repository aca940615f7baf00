"""An application on a real port of loopback, served by a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Self

from lsm_monitor.runtime.supervisor import Service


class Served:
    """A context manager; while it is entered, what :meth:`services` returns runs.

    Attributes:
        port: Where it listens.
        loop: On which it runs.
    """

    def __init__(self) -> None:
        self.port = 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def services(self, on_listening: Callable[[int], None]) -> Sequence[Service]:
        """Return what runs; one of them must tell the port that it has."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(30.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30.0)
        assert not self._thread.is_alive()

    def connect(self) -> socket.socket:
        """Return a bare connection to the port."""
        return socket.create_connection(("127.0.0.1", self.port), 30.0)

    def send(self, data: bytes, *, and_hang_up: bool = True) -> bytes:
        """Return everything the server answers to ``data`` before it closes the connection.

        Args:
            data: Sent as it is.
            and_hang_up: Say that nothing more will come; without it, ``data`` must ask for
                the connection to be closed.
        """
        with self.connect() as client:
            client.sendall(data)
            if and_hang_up:
                client.shutdown(socket.SHUT_WR)
            answer = b""
            while part := client.recv(65536):
                answer += part
            return answer

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        running = [asyncio.create_task(each.run()) for each in self.services(self._listens)]
        await asyncio.to_thread(self._stop.wait)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _listens(self, port: int) -> None:
        self.port = port
        self._listening.set()
