"""Which pool a partition belongs to: its ledger says so; an empty one leaves it to the first policy that names it."""

from __future__ import annotations

from contract import signers
from contract.codec import Malformed, decode_batch, decode_input
from contract.inputs import PolicyApplied
from contract.policy_check import fault_of_applied
from contract.topics import LEDGER
from runtime.kafka import offsets, read_range
from runtime.settings import Settings


def pool_in_ledger(settings: Settings, partition: int) -> str | None:
    """The pool whose ledger lies in this partition; None while it is empty."""
    low, high = offsets(settings.brokers, LEDGER, partition)
    for record in read_range(settings.brokers, LEDGER, partition, low, high):
        try:
            return decode_batch(record.value).pool
        except Malformed:
            continue
    return None


def pool_named_by(value: bytes | None, partition: int, signer: str = "") -> str | None:
    """The pool to which this record of `jobs` gives the partition, if the record is a policy that can be put in force.
    `signer` is who signed it; empty: nobody need have. A policy that will be refused names nothing: a ledger begun
    under its name could never be renamed."""
    try:
        said = decode_input(value)
    except Malformed:
        return None
    if not isinstance(said, PolicyApplied) or fault_of_applied(said):
        return None
    if signer and signers.refusal_of(signer, said):
        return None
    return next((name for name, pool in sorted(said.policy.pools.items()) if pool.partition == partition), None)
