"""Sessions, limits and passwords, each by itself."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.web import passwords
from lsm_monitor.web.limits import LoginLimits, network_of
from lsm_monitor.web.passwords import PasswordDesk, TooManyChecksError, hashed, is_right
from lsm_monitor.web.sessions import Sessions
from lsm_monitor.web.users import User
from tests.fakes import FakeClock

ANN = User(role="viewer", password="$argon2id$v=19$m=8,t=1,p=1$" + "x" * 30)


@pytest.fixture
def sessions(clock: FakeClock) -> Sessions:
    return Sessions(idle_s=60.0, max_s=300.0, clock=clock)


def test_a_session_that_is_used_lives_until_it_is_old(
    sessions: Sessions, clock: FakeClock
) -> None:
    session_id, _ = sessions.begin("ann", ANN)
    for _ in range(5):
        clock.now_s += 59.0
        assert sessions.find(session_id) is not None
    clock.now_s += 59.0
    assert sessions.find(session_id) is None


def test_a_session_that_is_not_used_ends(sessions: Sessions, clock: FakeClock) -> None:
    session_id, _ = sessions.begin("ann", ANN)
    clock.now_s += 60.0
    assert sessions.find(session_id) is None


def test_a_users_oldest_session_gives_way(sessions: Sessions) -> None:
    bob, _ = sessions.begin("bob", ANN)
    ids = [sessions.begin("ann", ANN)[0] for _ in range(21)]
    found = [sessions.find(session_id) is not None for session_id in ids]
    assert found == [False] + [True] * 20
    assert sessions.find(bob) is not None


def test_ids_and_tokens_are_long_and_never_the_same(sessions: Sessions) -> None:
    begun = [sessions.begin("ann", ANN) for _ in range(10)]
    secrets = {each for session_id, session in begun for each in (session_id, session.csrf)}
    assert len(secrets) == 20
    assert min(map(len, secrets)) >= 43  # 256 bits in base 64


@pytest.mark.parametrize("session_id", [None, "", "nobody's"])
def test_an_id_that_nobody_has_is_no_session(
    sessions: Sessions, session_id: str | None
) -> None:
    assert sessions.find(session_id) is None
    sessions.end(session_id)


def test_one_address_may_not_try_many_names(clock: FakeClock) -> None:
    limits = LoginLimits(clock)
    waits = [limits.wait_s("192.0.2.1", f"user-{number}") for number in range(11)]
    assert waits == [0] * 10 + [6]
    assert limits.wait_s("192.0.2.2", "user-0") == 0
    clock.now_s += 6.0
    assert limits.wait_s("192.0.2.1", "user-0") == 0


def test_one_name_may_not_be_tried_from_many_addresses(clock: FakeClock) -> None:
    limits = LoginLimits(clock)
    waits = [limits.wait_s(f"192.0.2.{number}", "ann") for number in range(11)]
    assert waits == [0] * 10 + [30]
    limits.succeeded("ann")
    assert limits.wait_s("192.0.2.99", "ann") == 0


def test_all_attempts_together_leave_the_machine_to_the_model(clock: FakeClock) -> None:
    limits = LoginLimits(clock)
    waits = [limits.wait_s(f"192.0.2.{number}", f"user-{number}") for number in range(60)]
    assert waits == [0] * 50 + [1] * 10


def test_who_has_an_account_cannot_try_those_of_others_with_it(clock: FakeClock) -> None:
    limits = LoginLimits(clock)
    allowed = 0
    for number in range(40):
        allowed += limits.wait_s("192.0.2.1", f"user-{number}") == 0
        if limits.wait_s("192.0.2.1", "own") == 0:
            limits.succeeded("own")
    assert allowed <= 10


def test_the_memory_of_attempts_is_bounded(clock: FakeClock) -> None:
    limits = LoginLimits(clock)
    for number in range(5000):
        limits.wait_s(f"10.{number >> 8}.{number & 255}.1", str(number))
    assert len(limits._addresses._buckets) == len(limits._users._buckets) == 4096


@given(st.ip_addresses(v=6))
def test_addresses_of_one_customer_count_as_one(address: object) -> None:
    text = str(address)
    network = network_of(text)
    assert network_of(network.partition("/")[0]) == network


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1:2", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("somewhere", "unknown"),
    ],
)
def test_who_is_meant_by_an_address(address: str, network: str) -> None:
    assert network_of(address) == network


def test_only_the_password_that_was_hashed_is_right() -> None:
    password_hash = hashed("geheim 秘密 ✓")
    assert password_hash != hashed("geheim 秘密 ✓")
    assert is_right("geheim 秘密 ✓", password_hash)
    assert not is_right("geheim 秘密", password_hash)
    assert not is_right("x", "$argon2id$nonsense")


def test_a_name_that_nobody_has_costs_a_check_too(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    def check(password: str, password_hash: str) -> bool:
        checked.append(password_hash)
        return is_right(password, password_hash)

    monkeypatch.setattr(passwords, "is_right", check)
    desk = PasswordDesk()
    assert not asyncio.run(desk.check("whatever it is", None))
    assert checked[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    desk.close()


def test_few_wait_to_have_their_passwords_checked() -> None:
    async def scene() -> list[object]:
        desk = PasswordDesk()
        checks = [desk.check("x", None) for _ in range(10)]
        results = await asyncio.gather(*checks, return_exceptions=True)
        desk.close()
        return [type(result) for result in results]

    assert asyncio.run(scene()) == [bool] * 8 + [TooManyChecksError] * 2
