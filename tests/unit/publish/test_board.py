from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.publish.board import RetainedBoard
from lsm_monitor.types import OutboundMessage

puts = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([b"0", b"1"])), max_size=20)


def message(topic: str, payload: bytes = b"x") -> OutboundMessage:
    return OutboundMessage(topic, payload, qos=1, retain=True)


@given(puts=puts, taken_after=st.integers(0, 20))
def test_a_broker_that_is_told_every_change_knows_the_newest_of_every_topic(
    puts: list[tuple[str, bytes]], taken_after: int
) -> None:
    board = RetainedBoard()
    broker: dict[str, bytes] = {}
    for i, (topic, payload) in enumerate(puts):
        board.put(message(topic, payload))
        if i == taken_after:
            broker |= {m.topic: m.payload for m in board.take_changed(100)}
    broker |= {m.topic: m.payload for m in board.take_changed(100)}
    assert broker == dict(puts)


def test_what_does_not_change_is_not_sent_again() -> None:
    board = RetainedBoard()
    board.put(message("a"))
    assert board.take_changed(9) == [message("a")]
    board.put(message("a"))
    assert board.take_changed(9) == []


def test_only_the_newest_of_a_topic_is_sent() -> None:
    board = RetainedBoard()
    for payload in (b"1", b"2", b"3"):
        board.put(message("a", payload))
    assert board.take_changed(9) == [message("a", b"3")]


def test_a_batch_is_limited_and_the_rest_stays_in_order() -> None:
    board = RetainedBoard()
    for topic in "cab":
        board.put(message(topic))
    assert [m.topic for m in board.take_changed(2)] == ["c", "a"]
    assert [m.topic for m in board.take_changed(2)] == ["b"]


def test_a_heartbeat_repeats_everything_in_the_order_of_arrival() -> None:
    board = RetainedBoard()
    for topic in "cab":
        board.put(message(topic))
    board.take_changed(9)
    board.put(message("a", b"new"))
    board.mark_all_changed()
    assert board.take_changed(9) == [message("c"), message("a", b"new"), message("b")]


def test_what_is_not_retained_cannot_be_repeated() -> None:
    with pytest.raises(ValueError, match="event is not retained"):
        RetainedBoard().put(OutboundMessage("event", b"x", qos=1, retain=False))


def test_what_is_removed_is_sent_empty_and_stays_removed_until_it_is_allowed_again() -> None:
    board = RetainedBoard()
    board.put(message("a"))
    board.put(message("b"))
    board.take_changed(9)
    board.remove({"a"})
    board.put(message("a", b"late"))
    assert board.take_changed(9) == [message("a", b"")]
    board.forget(message("a", b""))
    board.mark_all_changed()
    assert board.take_changed(9) == [message("b")]
    board.remove(set())
    board.put(message("a", b"back"))
    assert board.take_changed(9) == [message("a", b"back")]


def test_what_is_forgotten_is_not_sent_again_but_what_is_newer_is() -> None:
    board = RetainedBoard()
    board.put(message("a", b"1"))
    board.put(message("a", b"2"))
    board.forget(message("a", b"1"))
    assert board.take_changed(9) == [message("a", b"2")]
    board.forget(message("a", b"2"))
    board.mark_all_changed()
    assert board.take_changed(9) == []


def test_a_part_is_repeated_before_what_is_new() -> None:
    board = RetainedBoard()
    for topic in ("x/1", "y/1", "x/2"):
        board.put(message(topic))
    board.take_changed(9)
    board.put(message("y/1", b"new"))
    board.mark_all_changed("x/")
    assert [m.topic for m in board.take_changed(9)] == ["x/1", "x/2", "y/1"]


def test_what_waits_is_what_the_broker_has_not_seen() -> None:
    board = RetainedBoard()
    for topic in "aab":
        board.put(message(topic))
    assert board.changed() == 2
    board.take_changed(1)
    assert board.changed() == 1
