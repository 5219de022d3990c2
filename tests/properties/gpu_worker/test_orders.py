"""The door for orders: whatever a dispatch topic holds is taken or passed over. What is taken goes through the node's
rules, and becomes paths and object keys of its own attempt only."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.codec import Malformed, encode
from contract.inputs import Failed
from contract.names import dispatch_order, pool_of
from contract.orders import Drain, Kill, Load, Order, Orders, Payload, Recall, Refuse, Rejoin, Run, Tell
from contract.results import attempt_prefix
from gpu_worker.io.outages import OutageWaits
from gpu_worker.io.supplies import SuppliesFetcher
from gpu_worker.rules.actions import FetchSupplies, Prefetch, Say
from gpu_worker.rules.node_rules import NodeRules
from runtime.worker.order_door import orders_of
from runtime.worker.scratch import Scratch
from tests.properties.gpu_worker.frames import PIECES

NODE, SESSION = "node-1", "s1"
GOOD: dict[str, Any] = {
    "node": NODE,
    "session": SESSION,
    "pool": "main",
    "epoch": 1,
    "job": "main-" + "0" * 32,
    "attempt": 1,
    "dispatch": "1.2.3",
    "model": "shapes",
    "version": "sha256:" + "0" * 64,
    "timeout_ms": 1000,
    "partition": 0,
    "offset": 7,
    "digest": "sha256:" + "1" * 64,
    "payload": Payload(msgspec.Raw(b'{"prompt":"words"}'), "ab" * 16),
    "ranks": (0,),
    "world": 1,
    "reason": "name_taken",
}
KINDS: tuple[Any, ...] = (Run, Run, Kill, Recall, Load, Drain, Tell, Refuse, Rejoin)
ODD: dict[type, st.SearchStrategy[Any]] = {
    str: st.sampled_from(
        ("", "..", "../x", "/etc/passwd", "a/../../b", "x" * 5_000, "1.2", "1.2.x", "9" * 5_000, "a\0")
    )
    | st.text(max_size=8),
    int: st.sampled_from((-1, 0, 2**53, 2**62, 2**63, 10**40)),
    tuple: st.sampled_from(((), (1,), (0, 0), (-1,), (0, 1, 2), tuple(range(2_000)))),
    Payload: st.sampled_from(
        (None, Payload(msgspec.Raw(b"{}"), "no hex"), Payload(msgspec.Raw(b'{"p":"\xff"}'), "é" * 16))
    ),
}


@st.composite
def orders(draw: st.DrawFn) -> bytes:
    """Orders as the scheduler writes them. Some have a field that the scheduler would not write, some have bytes put
    in."""
    kind = draw(st.sampled_from(KINDS))
    epoch, seq, job = (draw(st.integers(0, 2**40)) for _ in range(3))
    named = GOOD | {"epoch": epoch, "dispatch": f"{epoch}.{seq}.0", "job": f"main-{job:032x}"}
    fields = {name: named[name] for name in kind.__struct_fields__ if name in named}
    if draw(st.sampled_from((False, False, True))):
        name = draw(st.sampled_from(sorted(fields)))
        fields[name] = draw(ODD[type(fields[name])])
    try:
        order = kind(**fields)
        another = Drain(NODE, SESSION, "main", epoch)
        raw = encode(Orders(NODE, (another, order)) if draw(st.booleans()) else order)
    except (msgspec.MsgspecError, OverflowError, UnicodeEncodeError):
        raw = b"{}"
    if draw(st.integers(0, 4)):
        return raw
    at = draw(st.integers(0, len(raw)))
    return raw[:at] + draw(PIECES) + raw[at:]


def behind_the_door(order: Order, scratch: Scratch, root: Path) -> None:
    """Everything that a name in an order becomes on the node."""
    rules = NodeRules(NODE, SESSION, 2)
    told: list[Any] = []
    depot: Any = None
    for action in rules.take(order):
        match action:
            case FetchSupplies(run):
                assert scratch.attempt(run.dispatch) == f"{root}/attempts/{run.dispatch}"
                assert os.path.basename(scratch.attempt(run.dispatch)) == run.dispatch  # noqa: PTH119
                prefix = attempt_prefix(run.job, run.dispatch)
                assert posixpath.normpath(prefix) + "/" == prefix
                assert prefix.count("/") == 3
                assert pool_of(run.job)
                assert len(dispatch_order(run.dispatch)) == 3
                SuppliesFetcher(
                    depot, lambda *_: None, lambda *result: told.append(result), OutageWaits(lambda *_: None)
                ).forget(run.dispatch)
            case Prefetch(version):
                assert Path(version).name == version
            case Say(report):
                assert len(encode(report)) < 500
    for dispatch, attempt in list(rules.held.items()):
        rules.ended(dispatch, Failed(attempt.run.job, dispatch, "store", "E"))
    assert encode(rules.heartbeat())


def test_any_bytes_as_an_order_are_taken_or_passed_over(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    scratch = Scratch(tmp_path)

    @settings(max_examples=200, derandomize=True, deadline=None)
    @given(orders(), st.binary(max_size=40))
    def written_to_the_topic(raw: bytes, noise: bytes) -> None:
        for value in (raw, noise):
            refusals: list[str] = []
            taken: list[Order] = []
            try:
                taken = orders_of(value, NODE, refusals.append)
            except Malformed as malformed:
                refusals.append(str(malformed))
            assert all(reason.startswith("expected an order") and reason.isprintable() for reason in refusals)
            if value is raw:
                seen["refused" if refusals else "taken" if taken else "another's"] += 1
            for order in taken:
                behind_the_door(order, scratch, tmp_path)

    written_to_the_topic()
    scratch.close()
    assert 3 * seen["taken"] >= seen.total() >= 200, seen
    assert seen["refused"] > 20, seen
