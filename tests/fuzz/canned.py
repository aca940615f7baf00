"""The other end of a connection, with a recorded and then damaged memory."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Self

NEXT = b"<next>"
"""Stands in an input between what is said after one request and what after the next."""
_PATIENCE_S = 0.2
_MAX_RECORD_BYTES = 24_000


class CannedServer:
    """Says to each client what ``script`` holds, a part for each thing the client says.

    A context manager. A client that stays silent is hung up on, so that no case has to wait
    for its own time-outs.
    """

    def __init__(self) -> None:
        self.script = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(30.0)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                client.settimeout(_PATIENCE_S)
                for part in self.script.split(NEXT):
                    if not client.recv(65536):
                        break
                    client.sendall(part)


def record(port: int, talk: Callable[[int], object]) -> bytes:
    """Return what the server on ``port`` says while ``talk`` talks to it, as a script.

    Args:
        port: A real server on loopback.
        talk: Talks to the port it is given.
    """
    parts: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        middle = listener.getsockname()[1]

        def relay() -> None:
            client, _ = listener.accept()
            upstream = socket.create_connection(("127.0.0.1", port))
            with client, upstream as server, contextlib.suppress(ConnectionError):
                for from_client, data in _both(client, server):
                    if from_client:
                        parts.append(b"")
                        server.sendall(data)
                    else:
                        parts[-1] += data
                        client.sendall(data)
                        if sum(map(len, parts)) > _MAX_RECORD_BYTES:
                            return

        thread = threading.Thread(target=relay, daemon=True)
        thread.start()
        talk(middle)
        thread.join(30.0)
    return NEXT.join(parts)


def _both(client: socket.socket, server: socket.socket) -> Iterator[tuple[bool, bytes]]:
    """Yield what each of the two says, until one of them hangs up."""
    with selectors.DefaultSelector() as selector:
        for end in (client, server):
            selector.register(end, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]  # both are sockets
                if not data:
                    return
                yield key.fileobj is client, data
