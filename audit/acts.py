"""What people asked of a pool, from its ledger alone: who applied a policy, moved an alias, put the pool on hold,
drained a cluster, cordoned a node, withdrew a version, ended or erased a job; and what of theirs was set aside."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from audit.ledger.reader import LedgerSource
from contract import events as said
from contract.chain import Chain, Counted
from views.actors import to_operator
from views.words import JOB_EVENTS, words


class Act(msgspec.Struct, frozen=True):
    """One event that somebody asked for."""

    pool: str
    offset: int
    """Of its ledger record."""
    at_ms: int
    """Time by the pool's clock."""
    actor: str
    """As the ledger names it (contract.inputs.actor_of)."""
    event: str
    sentence: str


def acts(pool: str, source: LedgerSource, by: str = "") -> Iterator[Act]:
    """In the ledger's order; `by` names one actor, in full or without the signer who spoke for it. Damaged when the
    chain does not hold."""
    chain = Chain(pool)
    for record in source():
        judged = chain.offer(record.offset, record.value)
        if not isinstance(judged, Counted):
            continue
        signers = {given.offset: given.signer for given in judged.batch.inputs}
        for event in judged.batch.events:
            actor = getattr(event, "actor", "")
            if isinstance(event, said.InputQuarantined):
                actor = signers.get(event.offset, "")
            if actor and by in ("", actor, to_operator(actor)):
                sentence = _sentence(event)
                yield Act(pool, record.offset, judged.batch.now_ms, actor, type(event).__name__, sentence)


def _sentence(event: said.Event) -> str:
    match event:
        case said.PolicyAdopted():
            trial = ", on trial" if event.revert_jobs else ""
            return f"policy {event.fingerprint[:19]} in force{trial}"
        case said.PoolHeld():
            return "the pool on hold"
        case said.PoolReleased():
            return "the pool released"
        case said.ClusterDraining():
            return f"cluster {event.cluster} drains"
        case said.ClusterReturned():
            return f"cluster {event.cluster} takes work"
        case said.NodeCordoned():
            return f"node {event.node} cordoned"
        case said.NodeUncordoned():
            return f"node {event.node} takes work"
        case said.AliasPointed():
            return f"{event.model}@{event.alias} points to {event.version[:19]}"
        case said.VersionWithdrawn():
            return f"{event.model} {event.version[:19]} withdrawn" + (", what runs is stopped" if event.kill else "")
        case said.InputQuarantined():
            return f"set aside: {event.reason}"
    if type(event) in JOB_EVENTS:
        return f"{getattr(event, 'job', '')}: {words(event)}"
    return type(event).__name__
