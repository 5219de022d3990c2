"""The door for orders: only an order whose names are well formed passes.

A job, a dispatch and a version become paths and object keys on this node. If a malformed name passed, it could lead
out of the attempt's own folder.
"""

from __future__ import annotations

from collections.abc import Callable

from contract import bounds
from contract.codec import decode_orders
from contract.names import DIGEST, DISPATCH, JOB, is_name
from contract.orders import Kill, Load, Order, Prepare, PreparedInputs, Recall, Refuse, Run

RANKS_MAX = 1000
"""The most ranks of a gang: a node has as many ports at which ranks find rank 0."""

PARTITION_MAX = 2**31 - 1


def orders_of(value: bytes | None, node: str, refused: Callable[[str], None]) -> list[Order]:
    """The orders of a record that are for this node, each as if it had come alone: `refused` is told of those that do
    not pass. Malformed when the record holds no orders. What is said of a refusal quotes nothing that was found."""
    passed = []
    for order in decode_orders(value):
        if order.node != node:
            continue
        fault = _fault_of(order)
        if fault:
            refused(f"expected an order with {fault}, found another text or number")
        else:
            passed.append(order)
    return passed


def _fault_of(order: Order) -> str:
    """What the order should have and lacks; empty: it lacks nothing."""
    if not is_name(order.pool):
        return "the name of a pool"
    if not 0 <= order.epoch <= bounds.NUMBER_MAX:
        return f"an epoch from 0 to {bounds.NUMBER_MAX}"
    match order:
        case Run():
            return _fault_of_attempt(order.job, order.dispatch) or _fault_of_run(order)
        case Prepare():
            return _fault_of_attempt(order.job, order.preparation) or _fault_of_prepare(order)
        case Kill(job=""):
            return _fault_of_dispatch(order.dispatch)
        case Kill() | Recall():
            return _fault_of_attempt(order.job, order.dispatch)
        case Load():
            return _fault_of_version(order.version)
        case Refuse():
            return "" if is_name(order.reason) else "a reason that is a name"
    return ""


def _fault_of_attempt(job: str, dispatch: str) -> str:
    return _fault_of_dispatch(dispatch) if JOB.fullmatch(job) else "a job id"


def _fault_of_dispatch(dispatch: str) -> str:
    return "" if DISPATCH.fullmatch(dispatch) else "a dispatch of three numbers"


def _fault_of_version(version: str) -> str:
    return "" if DIGEST.fullmatch(version) else "the digest of a version"


def _fault_of_payload(order: Run | Prepare) -> str:
    if not DIGEST.fullmatch(order.digest):
        return "the digest of a payload"
    if not 0 <= order.partition <= PARTITION_MAX or not 0 <= order.offset <= bounds.NUMBER_MAX:
        return "a place in `jobs`"
    return ""


def _fault_of_prepare(order: Prepare) -> str:
    """The tenant's name becomes part of a key."""
    if fault := _fault_of_payload(order):
        return fault
    if not 0 < order.timeout_ms <= bounds.NUMBER_MAX:
        return f"a time limit from 1 to {bounds.NUMBER_MAX}"
    if not is_name(order.tenant):
        return "a tenant's name"
    for text in (order.model, order.traceparent):
        if bounds.fault_of(text, 0, 0, 0, bounds.TEXT_MAX):
            return f"texts of at most {bounds.TEXT_MAX} characters without NUL"
    return _fault_of_version(order.version)


def _fault_of_prepared(prepared: PreparedInputs) -> str:
    if not DISPATCH.fullmatch(prepared.preparation) or not DIGEST.fullmatch(prepared.manifest):
        return "a preparation of three numbers and the digest of its manifest"
    return "" if 0 <= prepared.bytes <= bounds.NUMBER_MAX else "a number of bytes"


def _fault_of_run(run: Run) -> str:
    if fault := _fault_of_payload(run) or (_fault_of_prepared(run.prepared) if run.prepared is not None else ""):
        return fault
    if not 0 < run.timeout_ms <= bounds.NUMBER_MAX or not 0 < run.attempt <= bounds.NUMBER_MAX:
        return f"an attempt and a time limit from 1 to {bounds.NUMBER_MAX}"
    if not 0 < run.world <= RANKS_MAX or not _are_ranks(run.ranks, run.world):
        return f"at most {RANKS_MAX} ranks, each once"
    for text in (run.model, run.rendezvous, run.traceparent):
        if bounds.fault_of(text, 0, 0, 0, bounds.TEXT_MAX):
            return f"texts of at most {bounds.TEXT_MAX} characters without NUL"
    return _fault_of_version(run.version)


def _are_ranks(ranks: tuple[int, ...], world: int) -> bool:
    return bool(ranks) and len(set(ranks)) == len(ranks) and all(0 <= rank < world for rank in ranks)
