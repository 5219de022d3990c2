"""The policy in force in each pool, as the views show it: which tiers there are, and how large a payload may be."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from sqlalchemy import Engine

from api.problems import RETRY_AFTER_S, Problem
from contract.policy import Policy
from registry import pools
from registry.answers import Answers
from views import queries

TTL_S = 1.0
"""A policy that was replaced is shown for so long at most."""

InThread = Callable[..., Coroutine[Any, Any, Any]]


class Policies:
    """The policies in force, read by one query however many requests wait for it."""

    def __init__(self, engine: Engine, in_thread: InThread) -> None:
        self._engine = engine
        self._in_thread = in_thread
        self._in_force: Answers[str, dict[str, Policy]] = Answers(1, TTL_S)

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
        shown its policy yet. Jobs submitted there wait."""
        known = await self._in_thread(pools.partitions, self._engine)
        return sorted(set(known) - set(await self._all()))

    async def _all(self) -> dict[str, Policy]:
        kept = self._in_force.kept("all")
        if kept is not None:
            return kept
        found: dict[str, Policy] = await self._in_thread(self._in_force.get, "all", self._read)
        return found

    def _read(self) -> dict[str, Policy]:
        with self._engine.connect() as connection:
            return {view.pool: view.policy for view in queries.policies(connection)}
