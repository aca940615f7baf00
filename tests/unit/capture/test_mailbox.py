from __future__ import annotations

import threading

from lsm_monitor.capture.mailbox import LatestMailbox


def test_the_newest_item_replaces_the_one_nobody_took_and_the_loss_is_told() -> None:
    mailbox = LatestMailbox[int]()
    assert [mailbox.put(1), mailbox.put(2), mailbox.put(3)] == [False, True, True]
    assert mailbox.take_nowait() == 3
    assert mailbox.take_nowait() is None
    assert mailbox.put(4) is False


def test_one_waiter_can_watch_many_mailboxes() -> None:
    arrived = threading.Event()
    mailboxes = [LatestMailbox[int](on_put=arrived.set) for _ in range(3)]
    thread = threading.Thread(target=mailboxes[2].put, args=(7,))
    thread.start()
    assert arrived.wait(5.0)
    thread.join()
    assert [mailbox.take_nowait() for mailbox in mailboxes] == [None, None, 7]


def test_the_item_is_there_when_on_put_is_called() -> None:
    seen: list[int | None] = []
    mailbox = LatestMailbox[int](on_put=lambda: seen.append(mailbox.take_nowait()))
    mailbox.put(5)
    assert seen == [5]


def test_every_item_is_taken_or_counted_as_lost_when_two_threads_race() -> None:
    mailbox = LatestMailbox[int]()
    lost = 0
    taken: list[int] = []
    done = threading.Event()

    def take() -> None:
        while not done.is_set():
            if (item := mailbox.take_nowait()) is not None:
                taken.append(item)

    taker = threading.Thread(target=take)
    taker.start()
    for item in range(5000):
        lost += mailbox.put(item)
    done.set()
    taker.join()
    rest = mailbox.take_nowait()
    assert len(taken) + lost + (rest is not None) == 5000
    assert taken == sorted(taken)
