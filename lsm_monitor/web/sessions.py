"""Who is logged in: in memory, so that a restart ends every session. For the event loop.

A session's id is 256 random bits that only the browser's cookie jar has; a new one is made at
every login. It ends when it was not used for a while, when it is old, when its user logs out,
and as soon as the user's entry in the users file is another or gone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from lsm_monitor.clock import Clock
from lsm_monitor.web.models import Role
from lsm_monitor.web.users import User

_PER_USER = 20
_ID_BYTES = 32


@dataclass(slots=True)
class Session:
    """Somebody who has logged in.

    Attributes:
        name: The user's name.
        user: The user's entry at the login.
        csrf: What every request that changes something has to name.
        began_s: Monotonic time of the login.
        used_s: Monotonic time of the newest request, or of an open page's stream.
    """

    name: str
    user: User
    csrf: str
    began_s: float
    used_s: float

    @property
    def role(self) -> Role:
        """What the user may do."""
        return self.user.role


class Sessions:
    """The sessions; their number is bounded by that of the users.

    Args:
        idle_s: A session that is not used for so long ends.
        max_s: Every session ends after so long.
        clock: Monotonic time.
    """

    def __init__(self, *, idle_s: float, max_s: float, clock: Clock) -> None:
        self._idle_s = idle_s
        self._max_s = max_s
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def begin(self, name: str, user: User) -> tuple[str, Session]:
        """Return a new session and its id; a user's oldest gives way to too many."""
        now_s = self._clock.monotonic_s()
        for session_id in [key for key, each in self._sessions.items() if self._is_over(each)]:
            del self._sessions[session_id]
        own = [key for key, each in self._sessions.items() if each.name == name]
        for session_id in own[: max(0, len(own) + 1 - _PER_USER)]:
            del self._sessions[session_id]
        session = Session(name, user, secrets.token_urlsafe(_ID_BYTES), now_s, now_s)
        session_id = secrets.token_urlsafe(_ID_BYTES)
        self._sessions[session_id] = session
        return session_id, session

    def find(self, session_id: str | None) -> Session | None:
        """Return the session with this id, anything, if it has not ended; that uses it."""
        session = self._sessions.get(session_id or "")
        if session is None or session_id is None:
            return None
        if self._is_over(session):
            del self._sessions[session_id]
            return None
        session.used_s = self._clock.monotonic_s()
        return session

    def end(self, session_id: str | None) -> None:
        """Log out; an id that nobody has does nothing."""
        self._sessions.pop(session_id or "", None)

    def _is_over(self, session: Session) -> bool:
        now_s = self._clock.monotonic_s()
        return now_s - session.used_s >= self._idle_s or now_s - session.began_s >= self._max_s
