"""The policy in force in each pool, as the views show it: which tiers there are, and how large a payload may be."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from sqlalchemy import Engine

from api.problems import RETRY_AFTER_S, Problem
from contract.policy import Policy
from registry import pools
from registry.answers import Answers
from views import queries

TTL_S = 1.0
"""A policy that was replaced is shown for so long at most."""

SIGNING_TODO = (
    "set what `headrace keys derive api` prints (HEADRACE_SIGNER, HEADRACE_SIGNING_KEY) for every API process"
)

InThread = Callable[..., Coroutine[Any, Any, Any]]


class InForce(NamedTuple):
    """What the views say of all pools."""

    policies: dict[str, Policy]
    signed: frozenset[str]
    """Pools that take signed records only."""


class Policies:
    """The policies in force, read at one moment however many requests wait for them."""

    def __init__(self, engine: Engine, in_thread: InThread, *, signs: bool) -> None:
        """`signs`: whether this API signs what it writes."""
        self._engine = engine
        self._in_thread = in_thread
        self._signs = signs
        self._in_force: Answers[str, InForce] = Answers(1, TTL_S)

    async def of(self, pool: str) -> Policy:
        """Problem 503 while no policy is in force in the pool."""
        policy = (await self._all()).policies.get(pool)
        if policy is None or pool not in policy.pools:
            raise Problem(
                503,
                "no-policy",
                f"pool {pool} has no policy in force yet; apply one (`headrace policy apply FILE`) and start its"
                " scheduler and projector, then try again",
                retry_after_s=RETRY_AFTER_S,
            )
        return policy

    async def for_writing(self, pool: str) -> Policy:
        """As `of`. Problem 503, too, when the pool's scheduler would refuse what this API writes."""
        if not self._signs and pool in (await self._all()).signed:
            raise Problem(
                503,
                "cannot-sign",
                f"pool {pool} takes signed records only, and this API has no key to sign with. Nothing was written:"
                f" tell your operator to {SIGNING_TODO}",
                retry_after_s=RETRY_AFTER_S,
            )
        return await self.of(pool)

    async def payload_bytes_max(self) -> int:
        """The largest payload that any pool takes, in bytes."""
        limits = [policy.payload_bytes_max for policy in (await self._all()).policies.values()]
        return max(limits, default=Policy({}, {}, {}).payload_bytes_max)

    async def waiting(self) -> list[str]:
        """Pools that are known and have no policy in force: no scheduler has opened them yet, or the views have not
        shown its policy yet. Jobs submitted there wait."""
        known = await self._in_thread(pools.partitions, self._engine)
        return sorted(set(known) - set((await self._all()).policies))

    async def _all(self) -> InForce:
        kept = self._in_force.kept("all")
        if kept is not None:
            return kept
        found: InForce = await self._in_thread(self._in_force.get, "all", self._read)
        return found

    def _read(self) -> InForce:
        with self._engine.connect() as connection:
            policies = {view.pool: view.policy for view in queries.policies(connection)}
            return InForce(policies, queries.pools_that_want_signatures(connection))
