"""The policy in force in each pool, as the views show it: which tiers there are, and how large a payload may be."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from api.problems import RETRY_AFTER_S, Problem
from contract.policy import Policy
from registry import pools
from views import queries

TTL_S = 1.0
"""So long may a policy that was replaced be shown."""

Read = Callable[..., Coroutine[Any, Any, Any]]


class Policies:
    def __init__(self, read: Read) -> None:
        self._read = read
        self._known: dict[str, Policy] = {}
        self._asked_s = float("-inf")

    async def of(self, pool: str) -> Policy:
        """Problem 503 while no policy is in force in the pool."""
        policy = (await self._all()).get(pool)
        if policy is None or pool not in policy.pools:
            raise Problem(
                503,
                "no-policy",
                f"pool {pool} has no policy in force yet; apply one (`headrace policy apply FILE`) and start its"
                " scheduler and projector, then try again",
                retry_after_s=RETRY_AFTER_S,
            )
        return policy

    async def payload_bytes_max(self) -> int:
        """The largest payload that any pool takes, in bytes."""
        limits = [policy.payload_bytes_max for policy in (await self._all()).values()]
        return max(limits, default=Policy({}, {}, {}).payload_bytes_max)

    async def waiting(self) -> list[str]:
        """Pools that are known and have no policy in force: no scheduler has opened them yet, or the views have not
        seen it. What is submitted there waits."""
        known = await self._read(pools.known)
        return sorted(set(known) - set(await self._all()))

    async def _all(self) -> dict[str, Policy]:
        if time.monotonic() - self._asked_s > TTL_S:
            self._known = {view.pool: view.policy for view in await self._read(queries.policies)}
            self._asked_s = time.monotonic()
        return self._known
