"""Halves that meet agree on limits: the largest thing that one half may say, the other takes, with room for its key and
its headers. The numbers are in contract.bounds; here the largest cases are made and put through."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, get_args

import msgspec
import pytest

from api.problems import Problem, body_of
from contract import bounds, topics
from contract.batch import BATCH_BYTES_MAX, ONE_INPUT_BYTES_MAX, Batch
from contract.codec import body_of as read_by_judge
from contract.codec import (
    decode_batch,
    decode_input,
    decode_orders,
    decode_progress,
    decode_quarantined,
    decode_result,
    decode_shadow,
    decode_submission,
    encode,
    headers_for,
)
from contract.events import Event, GangReserved, InputQuarantined, JobAccepted, JobDispatched, PolicyAdopted
from contract.inputs import (
    AliasMoved,
    JobSubmitted,
    NodeHeartbeat,
    NodeJoined,
    NodeReport,
    PolicyApplied,
    Requirements,
    Submission,
    VersionPublished,
    Wire,
)
from contract.orders import Order, Orders, Payload, Run
from contract.policy import Cluster, Policy, Tier, canonical, fingerprint
from contract.policy import Pool as PolicyPool
from contract.results import ResultManifest
from contract.schemas import record_types
from contract.shadows import ShadowRecord
from contract.side_topics import AttemptProgressed, Quarantined, SubmissionRequested
from gpu_worker.rules.node_rules import NodeRules
from operations.erasure import completed
from operations.quarantine import entry_of
from runtime.kafka import Record
from runtime.worker.frames import FRAME_BYTES_MAX
from runtime.worker.order_door import orders_of
from scheduling import snapshot
from streams.door.quarantine import quarantine_record
from tests.properties.boundaries.largest import (
    ADDRESS,
    CLUSTER,
    DIGEST,
    NODE,
    PAYLOAD_BYTES,
    POOL,
    SESSION,
    TENANT,
    TEXT,
    TIER,
    largest,
    largest_policy,
    name_of,
)
from tests.unit.scheduling.specification import Pool, only
from tests.unit.views.tables import Tables
from views.queries import PolicyView

POLICY = largest_policy()
TOPICS = {topic.name: int(topic.config.get("max.message.bytes", 1_048_588)) for topic in topics.topics_for(POLICY)}
"""Bytes that each topic takes, with a policy that takes small payloads. 1,048,588 is the broker's own default."""
TRACE = "00-" + "f" * 32 + "-" + "f" * 16 + "-01"
KEY_BYTES = bounds.TEXT_MAX
RECORD_BYTES = 100
"""Of one record in a batch of Kafka, beside key, value and headers, with the batch's own header."""


def on_the_wire(record: msgspec.Struct) -> int:
    """Bytes of the record in its topic, with the largest key and headers that go with it."""
    headers = headers_for(record, "9" * 40, f"headrace/scheduler/{POOL}/{SESSION}", TRACE)
    return len(encode(record)) + KEY_BYTES + RECORD_BYTES + sum(len(name) + len(text) + 10 for name, text in headers)


@pytest.mark.parametrize("kind", record_types(), ids=lambda kind: kind.__name__)
def test_every_record_type_has_a_largest_case(kind: type[msgspec.Struct]) -> None:
    made = largest(kind)
    again = msgspec.json.decode(encode(made), type=kind)
    assert again == made


def test_an_erasure_of_a_job_with_more_copies_than_a_record_names_is_said_in_several() -> None:
    offsets = list(range(bounds.NUMBER_MAX - 20_000, bounds.NUMBER_MAX))
    said = completed(f"{POOL}-{'f' * 32}", offsets, bounds.TIME_MS_MAX)
    assert len(said) == 4
    assert [offset for record in said for offset in record.offsets] == offsets
    assert all(decode_input(encode(record)) == record for record in said)
    assert [record.offsets for record in completed("j", [], 1)] == [()]


# -- what may be said, the topic takes and the reader's door takes -----------------------------------------------------


@pytest.mark.parametrize("kind", get_args(Wire), ids=lambda kind: kind.__name__)
def test_what_may_be_said_in_jobs_the_topic_and_the_scheduler_take(kind: type[Any]) -> None:
    made = largest(kind)
    assert on_the_wire(made) <= TOPICS["jobs"]
    assert decode_input(encode(made)) == made


@pytest.mark.parametrize("kind", get_args(Order), ids=lambda kind: kind.__name__)
def test_what_a_scheduler_orders_its_topic_and_the_node_take(kind: type[Any]) -> None:
    made = largest(kind)
    topic = next(name for name in TOPICS if name.startswith(topics.DISPATCH_PREFIX))
    assert on_the_wire(made) <= TOPICS[topic]
    assert decode_orders(encode(made)) == (made,)


def test_a_payload_of_the_largest_size_fits_jobs_its_order_and_the_childs_pipe() -> None:
    """The largest that a policy may allow."""
    most = bounds.MESSAGE_BYTES_MAX - bounds.PAYLOAD_ROOM_BYTES
    policy = msgspec.structs.replace(POLICY, payload_bytes_max=most)
    sizes = {topic.name: int(topic.config.get("max.message.bytes", 0)) for topic in topics.topics_for(policy)}
    inputs = msgspec.Raw(b'"' + b"i" * (most - 2) + b'"')
    said = msgspec.structs.replace(largest(JobSubmitted), inputs=inputs)
    run = msgspec.structs.replace(largest(Run), payload=Payload(inputs, "f" * 32))
    asked = msgspec.structs.replace(largest(SubmissionRequested), inputs=inputs)
    assert on_the_wire(said) <= sizes["jobs"] <= bounds.MESSAGE_BYTES_MAX
    assert on_the_wire(run) <= sizes[topics.dispatch_topic(CLUSTER)]
    assert len(encode(asked)) <= most + bounds.PAYLOAD_ROOM_BYTES
    assert most + bounds.PAYLOAD_ROOM_BYTES <= FRAME_BYTES_MAX
    assert decode_input(encode(said)) == said


def _submission(raw: bytes) -> SubmissionRequested:
    return decode_submission(raw)[0]


def test_what_the_other_topics_hold() -> None:
    every: list[tuple[msgspec.Struct, str, Callable[[bytes], Any]]] = [
        (largest(SubmissionRequested), "submissions", _submission),
        (largest(AttemptProgressed), "progress", decode_progress),
        (largest(Quarantined), "quarantine", decode_quarantined),
        *((largest(kind), "shadow", decode_shadow) for kind in get_args(ShadowRecord)),
    ]
    for record, topic, decode in every:
        assert on_the_wire(record) <= TOPICS[topic], type(record).__name__
        assert decode(encode(record)) == record


@pytest.mark.parametrize("value_bytes", [0, 1, bounds.MESSAGE_BYTES_MAX])
def test_the_refusal_of_the_largest_record_fits_and_is_shown(value_bytes: int) -> None:
    value = Random(value_bytes).randbytes(value_bytes)
    longest = name_of("t") * 3 + name_of("t")[:60]
    headers, raw = quarantine_record(
        f"headrace/scheduler/{POOL}/{SESSION}", "9" * 40, longest, 999, bounds.NUMBER_MAX, TEXT, value, value_bytes
    )
    assert len(raw) + sum(len(name) + len(text) for name, text in headers) <= bounds.REFUSAL_BYTES_MAX
    assert TOPICS["quarantine"] >= bounds.REFUSAL_BYTES_MAX + KEY_BYTES
    entry = entry_of(Record("quarantine", 0, 0, 0, None, raw, list(headers)))
    assert (entry.place.offset, entry.value_bytes, entry.reason) == (bounds.NUMBER_MAX, value_bytes, TEXT)
    assert value.startswith(entry.value)
    assert len(entry.value) > bounds.REFUSAL_BYTES_MAX // 2 or not value_bytes or value_bytes == 1


# -- what decide emits, the ledger takes -------------------------------------------------------------------------------


def test_the_largest_events_fit_a_ledger_record() -> None:
    assert max(len(encode(largest(kind))) for kind in get_args(Event)) <= ONE_INPUT_BYTES_MAX
    assert BATCH_BYTES_MAX <= bounds.MESSAGE_BYTES_MAX <= TOPICS["ledger"]


def gangs_of(ranks: int) -> Pool:
    """A pool whose names are as long as names are, with nodes of one slot each, and a version of so many ranks."""
    policy = Policy({TIER: Tier(1_000)}, {POOL: PolicyPool(0)}, {CLUSTER: Cluster(POOL, 10**9)}, look_ahead_jobs=0)
    pool = Pool(policy, name=POOL)
    wanted = Requirements(("cpu",), 0, 0, ranks)
    pool.tell(VersionPublished("m", DIGEST, wanted, 60_000), AliasMoved("m", "live", DIGEST, 1))
    return pool


def a_node(number: int) -> NodeJoined:
    address = f"{name_of('n', number)}.{'x' * 189}:64535"
    assert len(address) == len(ADDRESS)
    return NodeJoined(
        name_of("n", number), f"{number:064}", CLUSTER, "cpu", 1, 0, 0, (), address, holds=bounds.HELD_MAX
    )


def test_gangs_on_as_many_nodes_as_gangs_have_fit_the_ledger_and_their_nodes_take_the_orders() -> None:
    pool = gangs_of(64)
    job = f"{POOL}-{'f' * 32}"
    pool.tell(Submission(job, TENANT, TIER, "m", DIGEST, "api"))
    for number in range(63):
        pool.tell(a_node(number))
    pool.tell(a_node(63), after_ms=1_000)
    pool.tick(1_000)
    (dispatched,) = [one for batch in pool.batches for one in only(batch.events, JobDispatched)]
    assert len(dispatched.members) == 63
    assert max(map(len, pool.records)) <= BATCH_BYTES_MAX
    reserved = [one for batch in pool.batches for one in only(batch.events, GangReserved)]
    assert all(len(encode(one)) <= ONE_INPUT_BYTES_MAX for one in reserved)
    assert len(encode(dispatched)) <= len(encode(largest(JobDispatched))), "largest.py knows the largest"
    refused: list[str] = []
    for order in pool.orders():
        assert orders_of(encode(order), order.node, refused.append) == [order]
    assert refused == []


def test_a_policy_of_the_largest_size_goes_through_every_place() -> None:
    policy = canonical(POLICY)
    assert bounds.POLICY_BYTES_MAX - 100 < len(msgspec.json.encode(policy)) <= bounds.POLICY_BYTES_MAX
    applied = PolicyApplied(policy, fingerprint(policy))
    said: Any = decode_input(encode(applied))
    pool = Pool(policy=None, name=POOL)
    assert only(pool.tell(said), PolicyAdopted)
    smaller = msgspec.structs.replace(policy, tenant_weights={})
    pool.adopt(smaller)
    trial = PolicyApplied(policy, fingerprint(policy), 900, 10)
    assert only(pool.tell(trial), PolicyAdopted), "the snapshot holds both policies"
    assert max(map(len, pool.records)) <= BATCH_BYTES_MAX
    state = snapshot.encode(pool.state)
    assert snapshot.encode(snapshot.decode(state)) == state
    tables = Tables(POOL)
    tables.take(enumerate(pool.batches))
    assert not tables.omissions
    assert tables.policy is not None
    shown = msgspec.json.encode(PolicyView(POOL, fingerprint(policy), 0, policy))
    assert msgspec.json.decode(shown, type=PolicyView).policy == policy
    too_large = msgspec.structs.replace(
        policy, tenant_weights={**policy.tenant_weights, name_of("z"): 1, name_of("y"): 1}
    )
    assert only(pool.tell(PolicyApplied(too_large, fingerprint(too_large))), InputQuarantined)


# -- what the scheduler may send, a node holds; what a node may say, `jobs` takes --------------------------------------


def test_a_node_holds_all_that_its_scheduler_may_send_and_says_so_in_one_heartbeat() -> None:
    rules = NodeRules(NODE, SESSION, bounds.SLOTS_MAX)
    base = msgspec.structs.replace(largest(Run), pool="main", ranks=(0,), world=1, rendezvous="")
    given_back: list[Any] = []
    for number in range(bounds.HELD_MAX):
        run = msgspec.structs.replace(
            base, job=f"main-{number:032x}", dispatch=f"1.{bounds.NUMBER_MAX}.{number}", epoch=1
        )
        refused: list[str] = []
        assert orders_of(encode(run), NODE, refused.append) == [run], refused
        given_back += [action for action in rules.take(run) if type(action).__name__ == "Say"]
    assert len(rules.held) + len(given_back) >= bounds.HELD_MAX
    beat = rules.heartbeat()
    assert decode_input(encode(beat)) == beat
    assert on_the_wire(beat) <= TOPICS["jobs"]


def test_several_orders_of_the_largest_kind_in_one_record() -> None:
    """As many as fit what the topic takes, whatever the policy's payload is."""
    run = msgspec.structs.replace(largest(Run), payload=None)
    room = TOPICS[topics.dispatch_topic(CLUSTER)] - KEY_BYTES - RECORD_BYTES - 1_000
    orders = Orders(NODE, (run,) * (room // (len(encode(run)) + 1)))
    assert len(orders.orders) > bounds.SLOTS_MAX
    assert decode_orders(encode(orders)) == orders.orders
    assert on_the_wire(orders) <= TOPICS[topics.dispatch_topic(CLUSTER)]


@pytest.mark.parametrize("kind", [NodeJoined, NodeHeartbeat, NodeReport])
def test_what_a_node_says_at_its_limit_the_scheduler_judges(kind: type[Any]) -> None:
    pool = gangs_of(1)
    pool.tell(a_node(0))
    said = msgspec.structs.replace(largest(kind), node=name_of("n", 0), session=f"{0:064}")
    before = len(pool.records)
    pool.tell(read_by_judge(decode_input(encode(said))))
    assert max(map(len, pool.records[before:])) <= BATCH_BYTES_MAX
    assert all(encode(decode_batch(record)) == record for record in pool.records[before:])


def test_a_manifest_of_the_most_files_is_taken() -> None:
    made = largest(ResultManifest)
    values = msgspec.Raw(b'"' + b"v" * (FRAME_BYTES_MAX - 200) + b'"')
    for manifest in (made, msgspec.structs.replace(made, values=values)):
        assert decode_result(encode(manifest)) == manifest


# -- what the API answers ----------------------------------------------------------------------------------------------


def test_a_problem_with_the_longest_words_is_an_answer_that_any_client_takes() -> None:
    known = [f"{name_of('m', number)}@{DIGEST}" for number in range(20)]
    problem = Problem(
        404, "unknown-version", f"there is no version {TEXT!r}; there is: {', '.join(known)}", known=known
    )
    raw = msgspec.json.encode(body_of(problem, "f" * 16))
    assert len(raw) < 16 * 1024
    assert msgspec.json.decode(raw)["known"] == known


def test_headers_are_a_small_part_of_the_room_that_topics_give() -> None:
    for kind in (*get_args(Wire), *get_args(Order)):
        made = largest(kind)
        assert on_the_wire(made) - len(encode(made)) < bounds.PAYLOAD_ROOM_BYTES // 16


def test_the_largest_job_is_shown() -> None:
    """Its texts are as long as the door takes them, its numbers as large."""
    pool = Tables(POOL)
    accepted = largest(JobAccepted)
    batch = Batch(POOL, 1, 0, "0" * 64, bounds.TIME_MS_MAX, 0, True, bounds.NUMBER_MAX, (), (accepted,))
    pool.take([(0, batch)])
    assert not pool.omissions
    assert pool.jobs[accepted.job].expires_ms == bounds.TIME_MS_MAX
    assert PAYLOAD_BYTES < bounds.PAYLOAD_ROOM_BYTES
