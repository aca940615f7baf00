"""Passwords as Argon2id hashes, checked one at a time and never on the event loop.

The cost is OWASP's: 19 MiB and two passes, some 30 ms of one core. One check at a time and a
short queue, ``logins``, keep whoever sends a thousand passwords from taking the machine away
from the model. A name that nobody has costs the same time as a wrong password.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_WAITING = 8


class TooManyChecksError(Exception):
    """Others are waiting to log in; try again in a second."""


def hashed(password: str) -> str:
    """Return the hash of ``password`` as it stands in the users file."""
    return _HASHER.hash(password)


def is_right(password: str, password_hash: str) -> bool:
    """Return whether ``password`` is the one that was hashed; takes tens of milliseconds."""
    with contextlib.suppress(VerificationError, InvalidHashError):
        return _HASHER.verify(password_hash, password)
    return False


class PasswordDesk:
    """Checks passwords for the event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._waiting = 0
        self._nobodys = hashed("nobody has this password, whatever they try")

    async def check(self, password: str, password_hash: str | None) -> bool:
        """Return whether the password is right; ``None``: there is no such user.

        Raises:
            TooManyChecksError: The queue is full.
        """
        if self._waiting >= _WAITING:
            raise TooManyChecksError
        self._waiting += 1
        loop = asyncio.get_running_loop()
        try:
            right = await loop.run_in_executor(
                self._thread, is_right, password, password_hash or self._nobodys
            )
        finally:
            self._waiting -= 1
        return right and password_hash is not None

    def close(self) -> None:
        """Check no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
