"""Small simulations for tests: one model, a policy by its tiers, arrivals by a seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from contract.inputs import Requirements, VersionPublished
from contract.policy import Cluster, Policy, Pool, Tier
from whatif.simulation.arrivals import Arrivals
from whatif.simulation.machines import Fleet, Machine, standing

POOL = "main"


def versions(*models: str, ranks: int = 1) -> dict[str, VersionPublished]:
    """One version of each model, fit for every slot of chipset cuda."""
    return {
        model: VersionPublished(model, f"sha256:{number:064x}", Requirements(("cuda",), ranks=ranks), 3_600_000)
        for number, model in enumerate(models)
    }


def policy(slos_ms: dict[str, int], clusters: Sequence[str] = ("east",), limit: int = 100, **more: object) -> Policy:
    made = Policy(
        tiers={name: Tier(slo_ms) for name, slo_ms in slos_ms.items()},
        pools={POOL: Pool(0)},
        clusters={name: Cluster(POOL, limit) for name in clusters},
        may_starve=True,
    )
    return msgspec.structs.replace(made, **more)


def unstaged(made: Policy) -> Policy:
    """The policy with nothing staged behind running attempts: each choice is made when a slot is free, as in theory."""
    clusters = {name: msgspec.structs.replace(entry, staged_per_slot=0) for name, entry in made.clusters.items()}
    return msgspec.structs.replace(made, clusters=clusters)


def arrivals(rows: Iterable[tuple[int, str, int]], model: str = "film", tenant: str = "acme") -> Arrivals:
    """Arrivals from rows of (at_ms, tier, service_ms)."""
    made = Arrivals()
    for at_ms, tier, service_ms in rows:
        made.add(at_ms, tier, tenant, model, service_ms)
    return made


def poisson(seed: int, jobs: int, load: float, tiers: Mapping[str, float], mean_ms: float = 10_000) -> Arrivals:
    """Poisson arrivals, exponential run times, tiers by their shares; `load` is for one slot."""
    chance = random.Random(seed)
    names, shares = list(tiers), list(tiers.values())
    rows, now = [], 0.0
    for _ in range(jobs):
        now += chance.expovariate(load / mean_ms)
        rows.append((round(now), chance.choices(names, shares)[0], round(chance.expovariate(1 / mean_ms))))
    return arrivals(rows)


def standing_late(cluster: str, second_ms: int) -> Fleet:
    """One node from the beginning, and a second node from `second_ms` on."""
    fleet = standing(cluster, 1)
    fleet.join(second_ms, Machine(f"{cluster}-0001", cluster))
    return fleet
