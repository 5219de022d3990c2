"""The state that a shadow begins with: the pool's own, as if nothing had been withdrawn.

In a shadow each job runs the version that it ran in the pool, because only for that version its run time is known. So
the shadow is not told of withdrawals. What they caused is in the state before the simulation begins: a job that the
pool pinned anew after the state waits with its later version, and no version is withdrawn. If withdrawals stayed in the
state, a job that the pool pinned anew would wait for ever, because nothing tells a shadow of aliases.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from contract.events import GangReleased, JobRepinned, VersionRegistered
from contract.inputs import VersionPublished
from contract.lifecycle import JobState
from contract.policy import fingerprint
from scheduling import snapshot
from scheduling.evolve import evolve
from scheduling.state.pool import State
from whatif.simulation.machines import let_in


def copied(state: State) -> State:
    """The same facts, without withdrawals and without what the policy asks of machines. Jobs that waited for a version
    wait in their lines again, and machines stay for as long as they stayed in the pool. Jobs that are preparing come
    when their media were prepared in the pool, so no simulation has CPU workers."""
    facts = msgspec.json.decode(snapshot.encode(state))
    facts["withdrawn"] = {}
    if state.policy is not None:
        policy = let_in(state.policy)
        facts["policy"], facts["fingerprint"] = msgspec.to_builtins(policy), fingerprint(policy)
    for node in facts["nodes"]:
        node["layers_missing"] = ()
    facts["nodes"] = [node for node in facts["nodes"] if node.get("kind") != "prepare"]
    facts["preparing"] = []
    facts["jobs"] = [job for job in facts["jobs"] if job["state"] != JobState.PREPARING]
    return snapshot.decode(msgspec.json.encode(facts))


def pin(state: State, pinned: Mapping[str, str], versions: Mapping[str, VersionPublished]) -> None:
    """Pins each job that waits to the version that `pinned` has for the job. An attempt that is open goes on with its
    version; `versions` by digest are registered where the state does not know them."""
    for name, version in pinned.items():
        job = state.jobs[name]
        if job.version == version or job.state is not JobState.QUEUED:
            continue
        if version not in state.versions:
            published = versions[version]
            evolve(state, VersionRegistered(published.model, version, published.requirements, published.timeout_ms))
        if any(kept.job == name for kept in state.reserved.values()):
            evolve(state, GangReleased(job=name, reason="withdrawn"))
        evolve(state, JobRepinned(job=name, version=version))
