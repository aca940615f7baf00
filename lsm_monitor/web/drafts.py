"""Edits that somebody was shown and has not confirmed yet: few, small, and not for long."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsm_monitor.clock import Clock

_MAX_DRAFTS = 64
_KEPT_S = 900.0


@dataclass(frozen=True, slots=True)
class Draft:
    """An edit of one camera's geometry.

    Attributes:
        camera_id: Its camera.
        owner: Whose session it belongs to.
        path: The file that it changes.
        digest: Of the text that it was shown against.
        geometry: What the camera shall have.
    """

    camera_id: str
    owner: str
    path: Path
    digest: str
    geometry: Mapping[str, Any]


class Drafts:
    """The drafts, by tokens that only who was shown one knows. For the event loop.

    Whoever is shown another one for the same camera gives up the one before; of too many the
    oldest goes, and its token has then expired.

    Args:
        clock: Monotonic time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._drafts: OrderedDict[str, tuple[float, Draft]] = OrderedDict()

    def add(self, draft: Draft) -> str:
        """Keep ``draft``; return its token."""
        for token, (_, other) in list(self._drafts.items()):
            if (other.owner, other.camera_id) == (draft.owner, draft.camera_id):
                del self._drafts[token]
        token = secrets.token_urlsafe(24)
        self._drafts[token] = (self._clock.monotonic_s() + _KEPT_S, draft)
        while len(self._drafts) > _MAX_DRAFTS:
            self._drafts.popitem(last=False)
        return token

    def find(self, token: str, *, camera_id: str, owner: str) -> Draft | None:
        """Return the draft; ``None``: it expired, or never was this owner's of this camera."""
        expires_s, draft = self._drafts.get(token, (0.0, None))
        if draft is None or (draft.camera_id, draft.owner) != (camera_id, owner):
            return None
        return draft if self._clock.monotonic_s() < expires_s else None

    def drop(self, token: str) -> None:
        """Forget a draft: it was saved, or never can be."""
        self._drafts.pop(token, None)
