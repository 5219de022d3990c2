"""Pools as the registry knows them: name and partition of `jobs`, taken from the policy, never changed."""

from __future__ import annotations

from sqlalchemy import Engine, text

from contract.policy import Policy
from registry.errors import RegistryError


def register(engine: Engine, policy: Policy) -> tuple[str, ...]:
    """Makes every pool of the policy known; returns the names that are new. Pools no longer in the policy stay.

    RegistryError(conflict) when a pool has another partition or a partition another pool: either would send a model's
    events to a scheduler that is not its own."""
    new: list[str] = []
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE registry.pools IN SHARE ROW EXCLUSIVE MODE"))
        known = {row.name: row.partition for row in connection.execute(text("SELECT * FROM registry.pools"))}
        owners = {partition: name for name, partition in known.items()}
        for name, pool in sorted(policy.pools.items()):
            if known.get(name, pool.partition) != pool.partition:
                raise RegistryError(
                    "conflict",
                    f"pool {name!r}: expected partition {known[name]}, which it has for ever, found {pool.partition}"
                    " in the policy; put the old number back, or name a new pool",
                )
            if owners.get(pool.partition, name) != name:
                raise RegistryError(
                    "conflict",
                    f"pool {name!r}: partition {pool.partition} belongs to pool {owners[pool.partition]!r} for ever;"
                    " give the pool a partition that was never used",
                )
            if name not in known:
                connection.execute(
                    text("INSERT INTO registry.pools (name, partition) VALUES (:name, :partition)"),
                    {"name": name, "partition": pool.partition},
                )
                new.append(name)
    return tuple(new)


def partitions(engine: Engine) -> dict[str, int]:
    """Partition of `jobs` and `ledger` by pool name."""
    with engine.connect() as connection:
        return {
            row.name: row.partition
            for row in connection.execute(text("SELECT name, partition FROM registry.pools ORDER BY name"))
        }
