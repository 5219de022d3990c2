"""What an order may name: each field by itself (tests/properties has any bytes)."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from contract.codec import Malformed, encode
from contract.orders import Drain, Load, Order, Orders, Refuse, Rejoin, Tell
from runtime.worker.order_door import orders_of
from tests.unit.gpu_worker.rules_orders import JOB, NODE, POOL, SESSION, kill, recall, run

VERSION, DIGEST = "sha256:" + "a" * 64, "sha256:" + "b" * 64
RUN = run(version=VERSION, digest=DIGEST)
GANG: dict[str, Any] = {"ranks": (3, 1), "world": 4, "rendezvous": "node-2.example:10007"}


def passed(value: bytes | None, node: str = NODE) -> tuple[list[Order], list[str]]:
    """(what this node takes, why it refuses the rest)"""
    refused: list[str] = []
    return orders_of(value, node, refused.append), refused


@pytest.mark.parametrize(
    "order",
    [
        RUN,
        msgspec.structs.replace(RUN, **GANG),
        kill(),
        kill(job=""),
        recall(),
        Load(NODE, SESSION, POOL, 1, VERSION),
        Drain(NODE, SESSION, POOL, 0),
        Tell(NODE, SESSION, POOL, 1),
        Refuse(NODE, SESSION, POOL, 1, "name_taken"),
        Rejoin(NODE, SESSION, POOL, 2**53 - 1),
    ],
)
def test_what_the_scheduler_writes_is_taken(order: Order) -> None:
    assert passed(encode(order)) == ([order], [])
    assert passed(encode(order), "node-2") == ([], [])


NO_JOBS = ("", "../x", "main-" + "0" * 31, "main-" + "G" * 32, f"../{JOB}", JOB + "/..", JOB + "\n")
NO_DISPATCHES = (
    "",
    "first",
    "1.2",
    "1.2.3.4",
    "1.2.-3",
    "../..",
    "1.2.3/..",
    "01.2.3",
    "1.2.\u0663",
    "9" * 17 + ".1.1",
)
NO_VERSIONS = ("", "v1", "sha256:..", "sha256:" + "A" * 64, VERSION + "/..")


@pytest.mark.parametrize(
    "order",
    [
        *(msgspec.structs.replace(RUN, job=job) for job in NO_JOBS),
        *(msgspec.structs.replace(RUN, dispatch=dispatch) for dispatch in NO_DISPATCHES),
        *(msgspec.structs.replace(RUN, version=version) for version in NO_VERSIONS),
        *(msgspec.structs.replace(RUN, digest=digest) for digest in NO_VERSIONS),
        *(msgspec.structs.replace(RUN, ranks=ranks) for ranks in ((), (0, 0), (-1,), (1,), tuple(range(2_000)))),
        *(msgspec.structs.replace(RUN, world=world) for world in (0, -1, 1_001)),
        *(msgspec.structs.replace(RUN, timeout_ms=limit) for limit in (0, -1, 2**53)),
        msgspec.structs.replace(RUN, attempt=0),
        msgspec.structs.replace(RUN, partition=2**31),
        msgspec.structs.replace(RUN, offset=-1),
        msgspec.structs.replace(RUN, offset=2**53),
        msgspec.structs.replace(RUN, pool="../x"),
        msgspec.structs.replace(RUN, epoch=2**62),
        msgspec.structs.replace(RUN, rendezvous="h" * 2_000),
        msgspec.structs.replace(RUN, traceparent="a\0"),
        *(kill(job=job) for job in NO_JOBS[1:]),
        *(kill(dispatch, job) for dispatch in NO_DISPATCHES for job in ("", JOB)),
        *(recall(job=job) for job in NO_JOBS),
        *(recall(dispatch) for dispatch in NO_DISPATCHES),
        *(Load(NODE, SESSION, POOL, 1, version) for version in NO_VERSIONS),
        Drain(NODE, SESSION, POOL, -1),
        Tell(NODE, SESSION, POOL, 2**53),
        *(Refuse(NODE, SESSION, POOL, 1, reason) for reason in ("", "Words of a user.", "x" * 64)),
        Rejoin(NODE, SESSION, "", 1),
    ],
    ids=lambda order: type(order).__name__,
)
def test_what_names_no_attempt_of_this_node_is_refused_with_a_sentence(order: Order) -> None:
    taken, (reason,) = passed(encode(order))
    assert taken == []
    assert re.fullmatch(r"expected an order with .*, found another text or number", reason)


def test_several_orders_in_a_record_are_taken_each_as_if_it_had_come_alone() -> None:
    orders = (kill(), recall(job="../x"), run(node="node-2"), RUN, Tell(NODE, SESSION, POOL, 1))
    taken, refused = passed(encode(Orders(NODE, orders)))
    assert taken == [orders[0], orders[3], orders[4]]
    assert len(refused) == 1


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"{}", b'{"type":"Orders.v1","node":"node-1","orders":[{}]}'])
def test_what_holds_no_order_is_malformed(value: bytes | None) -> None:
    with pytest.raises(Malformed, match=r"^expected an order"):
        passed(value)
