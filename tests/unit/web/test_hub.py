"""What a page that reads slowly is told, and what it costs."""

from __future__ import annotations

import asyncio

import pytest

from lsm_monitor.metrics import Metrics
from lsm_monitor.web import hub as hub_module
from lsm_monitor.web.hub import Hub


def dropped(metrics: Metrics, reason: str) -> float:
    return metrics.snapshot().get(f'lsm_http_stream_dropped_total{{reason="{reason}"}}', 0.0)


def test_a_slow_page_gets_the_newest_of_each_thing_in_order() -> None:
    async def scene() -> bytes:
        with hub.client() as client:
            for number in range(3):
                hub.tell("camera", "a", b"%d" % number)
            hub.tell("camera", "b", b"9")
            hub.tell("camera", "a", b"3")
            return await client.next(1.0)

    metrics = Metrics()
    hub = Hub(metrics)
    expected = b"event: camera\ndata: 9\n\nevent: camera\ndata: 3\n\n"
    assert asyncio.run(scene()) == expected
    assert dropped(metrics, "coalesced") == 3


def test_a_page_that_never_reads_holds_a_bounded_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "_CAPACITY", 2)

    async def scene() -> bytes:
        with hub.client() as client:
            for name in "abc":
                hub.tell("camera", name, name.encode())
            return await client.next(1.0)

    metrics = Metrics()
    hub = Hub(metrics)
    assert b"data: a" not in asyncio.run(scene())
    assert dropped(metrics, "full") == 1


def test_without_news_a_page_waits_no_longer_than_it_wants() -> None:
    async def scene() -> bytes:
        with Hub(Metrics()).client() as client:
            return await client.next(0.01)

    assert asyncio.run(scene()) == b""


def test_closing_wakes_who_waits() -> None:
    async def scene() -> bool:
        hub = Hub(Metrics())
        with hub.client() as client:
            waiting = asyncio.create_task(client.next(60.0))
            await asyncio.sleep(0)
            hub.close()
            assert await waiting == b""
            return client.is_closed

    assert asyncio.run(scene())


def test_a_page_that_has_gone_is_told_nothing_and_not_counted() -> None:
    metrics = Metrics()
    hub = Hub(metrics)

    async def scene() -> None:
        with hub.client():
            assert metrics.snapshot()["lsm_http_streams"] == 1
        hub.tell("camera", "a", b"1")

    asyncio.run(scene())
    assert metrics.snapshot()["lsm_http_streams"] == 0
