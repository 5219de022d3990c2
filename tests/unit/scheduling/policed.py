"""A pool whose policy says who may do what, and who signs there."""

from __future__ import annotations

from typing import Any

import msgspec

from contract.inputs import PolicyApplied
from contract.policy import Policy, fingerprint
from contract.signers import node_signer, operator_signer
from tests.unit.scheduling.specification import (
    CPU,
    POLICY,
    START_MS,
    Pool,
    a_job,
    submission,
)

JOB = a_job(1)
N1, N2, ADA, BOB = node_signer("east", "n1"), node_signer("east", "n2"), operator_signer("ada"), operator_signer("bob")
UNTIL_MS = START_MS + 3_600_000
MINE, ANOTHER = "1" * 32, "2" * 32
GANG = msgspec.structs.replace(CPU, ranks=2)


def saying(**fields: Any) -> Policy:
    return msgspec.structs.replace(POLICY, **fields)


def applied(**fields: Any) -> PolicyApplied:
    policy = saying(**fields)
    return PolicyApplied(policy, fingerprint(policy), until_ms=UNTIL_MS)


def running(signer: str = N1) -> Pool:
    """n1 runs the job, and n2 is free."""
    pool = Pool()
    pool.publish()
    for pool.signer, node in ((signer, "n1"), (signer and N2, "n2")):
        pool.join(node, identity=MINE)
    pool.signer = signer
    pool.tell(submission(1))
    pool.start(JOB)
    assert pool.attempt(JOB).node == "n1"
    return pool
