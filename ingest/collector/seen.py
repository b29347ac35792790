"""Which message ids were taken lately: SDKs send an event again when they missed our answer."""

from __future__ import annotations

from collections.abc import Iterable

REMEMBERED = 200_000


class Seen:
    """The last 200,000 to 400,000 ids, in bounded memory: the older half is let go when the newer one is full.

    What lies further back lands twice in raw, and is counted once by `conformed.event`.
    """

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._new: set[str] = set()
        self._old: set[str] = set()

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def __contains__(self, key: str) -> bool:
        return key in self._new or key in self._old

    def add(self, key: str) -> bool:
        """Remember an id; whether it is new."""
        if key in self._new or key in self._old:
            return False
        self._new.add(key)
        if len(self._new) >= self._size:
            self._old, self._new = self._new, set()
        return True

    def forget(self, keys: Iterable[str]) -> None:
        """These did not reach the disk."""
        self._new.difference_update(keys)
        self._old.difference_update(keys)
