"""From the text of a key to the key in force: wrong keys cost little, and keep nobody out who has a right one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from cachetools import LRUCache

from api.failed_keys import FailedKeys
from api.problems import Problem
from api.shares import CallerShares, Together
from registry import keys
from registry.keys import Key
from runtime.postgres_troubles import DATABASE_ERRORS

GOOD_MAX = 10_000
"""Keys that were in force when they were last looked up. Their holders are asked for no patience when others behind the
same gateway send wrong ones."""

LOOKS_EACH_MAX = 100
"""New keys of one address that are looked up or wait for it, so that a flood leaves room for those of others."""

Look = Callable[[str, str], Coroutine[Any, Any, Key | None]]
"""(secret, whose share of the threads this is)."""


class KnownKeys(Protocol):
    """What a process knows of keys without asking anybody (registry.keys.Keyring)."""

    def kept(self, secret: str) -> Key | None: ...


class KeyChecks:
    """Used in one event loop."""

    def __init__(self, known: KnownKeys, look: Look, failures: FailedKeys | None = None) -> None:
        """`look` asks the database."""
        self._known = known
        self._look = look
        self._failures = failures or FailedKeys()
        self._good: LRUCache[str, None] = LRUCache(GOOD_MAX)
        self._looks = CallerShares(LOOKS_EACH_MAX)
        self._together: Together[Key | None] = Together()

    def kept(self, secret: str) -> Key | None:
        """The key, if nobody need be asked."""
        return self._known.kept(secret)

    async def key_of(self, secret: str, address: str) -> Key | None:
        """The key in force with this secret, or None, by asking the database. Problem 429 for an address that has sent
        too many wrong ones."""
        digest = keys.digest_of(secret)
        key = await self._together.run(digest, lambda: self._looked_up(secret, digest, address))
        if key is None:
            self._good.pop(digest, None)
        else:
            self._good[digest] = None
        return key

    async def _looked_up(self, secret: str, digest: str, address: str) -> Key | None:
        if digest in self._good:
            return await self._look(secret, address)
        wait_s = self._failures.wait_s(address)
        if wait_s or not self._looks.take(address):
            raise Problem(
                429,
                "too-many-wrong-keys",
                "too many API keys that are new here, or that nobody has, came from your address just now, so no other"
                " is looked up for it: see that every program there sends a key in force, and try again",
                retry_after_s=wait_s or 1,
            )
        try:
            key = await self._look(secret, address)
        finally:
            self._looks.give_back(address)
        if key is None:
            self._failures.failed(address)
        return key

    async def is_in_force(self, secret: str) -> bool:
        """Whether a key that was in force still is. True while nobody can say, because the database does not answer."""
        if self.kept(secret) is not None:
            return True
        try:
            return await self._together.run(keys.digest_of(secret), lambda: self._look(secret, "")) is not None
        except (*DATABASE_ERRORS, Problem):
            return True
