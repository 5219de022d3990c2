"""Which pool a partition belongs to: what its ledger says, else the first policy in `jobs` that names it."""

from __future__ import annotations

import threading

import structlog

from contract.codec import Malformed, decode_batch, decode_wire
from contract.inputs import PolicyApplied
from contract.topics import JOBS, LEDGER
from runtime.kafka import Reader, offsets, read_range
from runtime.settings import Settings

READ_TIMEOUT_S = 0.5

log = structlog.get_logger(__name__)


def pool_of_partition(settings: Settings, partition: int, closing: threading.Event) -> str | None:
    """The pool's name. Waits for a policy that names the partition; None when `closing` was set before."""
    return pool_in_ledger(settings, partition) or _in_jobs(settings, partition, closing)


def pool_in_ledger(settings: Settings, partition: int) -> str | None:
    """The pool whose ledger lies in this partition; None while it is empty."""
    low, high = offsets(settings.kafka, LEDGER, partition)
    for record in read_range(settings.kafka, LEDGER, partition, low, high):
        try:
            return decode_batch(record.value).pool
        except Malformed:
            continue
    return None


def _in_jobs(settings: Settings, partition: int, closing: threading.Event) -> str | None:
    reader = Reader(settings.kafka, {(JOBS, partition): "beginning"}, client_id="headrace-pools")
    log.info("waiting for a policy that names this partition", partition=partition)
    try:
        while not closing.is_set():
            for record in reader.read(READ_TIMEOUT_S):
                try:
                    said = decode_wire(record.value)
                except Malformed:
                    continue
                if isinstance(said, PolicyApplied):
                    for name, pool in said.policy.pools.items():
                        if pool.partition == partition:
                            return name
        return None
    finally:
        reader.close()
