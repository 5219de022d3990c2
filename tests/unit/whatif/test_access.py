"""What operators did with access happens in a what-if as it happened: machines come and go as they were recorded."""

from __future__ import annotations

import msgspec

from audit.ledger.past import LedgerPast
from audit.ledger.reader import LedgerRecord
from contract.inputs import HoldRequested, NodeReport, PolicyApplied, Started, Succeeded
from contract.policy import Policy, fingerprint
from contract.signers import node_signer, operator_signer
from tests.unit.scheduling.specification import MANIFEST, POLICY, POOL, Pool, a_job, a_join, submission
from whatif.compare import CHANGED, Changes, of_ledger
from whatif.recorded import Recorded, recorded
from whatif.shadow import first_state
from whatif.simulation.machines import Step
from whatif.simulation.nodes import Costs

ADA, BOB = operator_signer("ada"), operator_signer("bob")
TOKENS = msgspec.structs.replace(POLICY, join_tokens=True)
REVOKING = msgspec.structs.replace(TOKENS, revoked=(node_signer("east", "n1"), BOB))


def told(pool: Pool, signer: str, policy: Policy) -> None:
    pool.signer = signer
    pool.tell(PolicyApplied(policy, fingerprint(policy), until_ms=pool.now_ms + 60_000), after_ms=1_000)


def life() -> Pool:
    """n1 runs a job and is put out; n2 runs it after that. A revoked operator wants to hold the pool."""
    pool = Pool()
    pool.publish()
    told(pool, ADA, TOKENS)
    for pool.signer, node in ((node_signer("east", "n1"), "n1"), (node_signer("east", "n2"), "n2")):
        pool.token_until_ms = pool.now_ms
        pool.tell(a_join(node))
    pool.signer = "api"
    pool.tell(submission(1), after_ms=1_000)
    pool.signer = node_signer("east", "n1")
    pool.start(a_job(1))
    told(pool, ADA, REVOKING)
    pool.signer = BOB
    pool.tell(HoldRequested())
    pool.signer = node_signer("east", "n2")
    dispatch = pool.dispatch(a_job(1))
    pool.tell(NodeReport("n2", "s1", (Started(a_job(1), dispatch),)), after_ms=1_000)
    pool.tell(NodeReport("n2", "s1", (Succeeded(a_job(1), dispatch, MANIFEST),)), after_ms=5_000)
    return pool


def read(pool: Pool) -> Recorded:
    records = [
        LedgerRecord(offset, b.now_ms, r) for offset, (b, r) in enumerate(zip(pool.batches, pool.records, strict=True))
    ]
    return recorded(LedgerPast(POOL, lambda first: iter(records[first:])))


def test_a_node_that_was_put_out_leaves_and_what_a_revoked_operator_asked_does_not_happen() -> None:
    given = read(life())
    assert [(move.step, move.node) for move in given.fleet.moves] == [
        (Step.JOIN, "n1"),
        (Step.JOIN, "n2"),
        (Step.LEAVE, "n1"),
    ]
    assert given.operations == []


def test_machines_are_there_whatever_the_changed_policy_asks_of_them() -> None:
    given = read(life())
    compared = of_ledger(given, Changes(policy=msgspec.structs.replace(REVOKING, discipline="fifo")), Costs())
    assert all(start_ms >= 0 for start_ms in compared.starts_ms[CHANGED])


def test_a_shadow_begins_with_machines_as_they_are() -> None:
    pool = Pool(msgspec.structs.replace(POLICY, trusted_models=True, join_tokens=True))
    pool.token_until_ms = pool.now_ms
    pool.join("n1", layers_missing=("files",))
    state = first_state.copied(pool.state)
    assert state.policy == msgspec.structs.replace(POLICY, trusted_models=True)
    assert state.fingerprint == fingerprint(state.policy)
    assert state.nodes["n1"].layers_missing == ()
