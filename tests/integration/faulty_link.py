"""A network between the publisher and a real broker that fails on purpose."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self

_CHUNK = 4096
_PUBACK = 4


class FaultyLink:
    """Listens on a port and passes everything on to a broker, but for its fault.

    Args:
        broker_port: Where the broker listens, on loopback.
        cut_at: Of each of the first connections, cut it when the broker has acknowledged so
            many messages, and keep that acknowledgement from the publisher; later
            connections are left alone.
        bytes_per_s: Passes on no faster than this; ``None``: as fast as it goes.
    """

    def __init__(
        self, broker_port: int, *, cut_at: tuple[int, ...] = (), bytes_per_s: int | None = None
    ) -> None:
        self._broker_port = broker_port
        self._cut_at = list(cut_at)
        self._bytes_per_s = bytes_per_s
        self._stop = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.1)
        self.port: int = self._server.getsockname()[1]
        self.cuts = 0
        self._threads = [threading.Thread(target=self._accept, name="faulty-link")]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._server.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._server.accept()
                cut_at = self._cut_at.pop(0) if self._cut_at else None
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
                for pump in (
                    threading.Thread(target=self._to_broker, args=(client, broker)),
                    threading.Thread(target=self._to_client, args=(broker, client, cut_at)),
                ):
                    self._threads.append(pump)
                    pump.start()

    def _to_broker(self, client: socket.socket, broker: socket.socket) -> None:
        while data := self._receive(client):
            if self._bytes_per_s is not None:
                self._stop.wait(len(data) / self._bytes_per_s)
            with contextlib.suppress(OSError):
                broker.sendall(data)
        _hang_up(client, broker)

    def _to_client(
        self, broker: socket.socket, client: socket.socket, cut_at: int | None
    ) -> None:
        acknowledged = 0
        while data := self._receive(broker):
            acknowledged += sum(kind == _PUBACK for kind in _kinds(data))
            if cut_at is not None and acknowledged >= cut_at:
                self.cuts += 1
                break
            with contextlib.suppress(OSError):
                client.sendall(data)
        _hang_up(client, broker)

    def _receive(self, source: socket.socket) -> bytes:
        while not self._stop.is_set():
            try:
                source.settimeout(0.1)
                return source.recv(_CHUNK)
            except TimeoutError:
                continue
            except OSError:
                break
        return b""


def _kinds(data: bytes) -> Iterator[int]:
    """Yield what kinds of packets a broker sent: all are short, and come whole."""
    begin = 0
    while begin < len(data):
        yield data[begin] >> 4
        begin += 2 + data[begin + 1]


def _hang_up(*sockets: socket.socket) -> None:
    for end in sockets:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
