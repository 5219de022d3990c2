"""Who speaks to the broker of a running stack: nobody without a name, and whoever has one says what its role may."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from contract import access, signers, signing
from contract.access import node_role
from contract.inputs import EraseRequested, NodeHeartbeat
from contract.signing import RecordSigner, SignedRecord, installation_keys
from contract.topics import JOBS, LEDGER, PROGRESS, QUARANTINE, SHADOW, SUBMISSIONS, dispatch_topic
from local import stack
from local.own_files import read
from local.supervisor import NAMED_NOW
from runtime import kafka_clients
from runtime.kafka import offsets
from runtime.kafka_credentials import PLAINTEXT, Brokers
from tests.system.installation import NOOP, POLICY, Installation, installation
from tests.waiting import until

TWO_POOLS = (
    POLICY.read_text()
    .replace("  main: {partition: 0}", "  main: {partition: 0}\n  other: {partition: 1}")
    .replace("clusters:", "clusters:\n  east: {pool: other, limit: 4}")
)
EVERYTHING = {JOBS, LEDGER, SUBMISSIONS, PROGRESS, QUARANTINE, SHADOW, dispatch_topic("local"), dispatch_topic("east")}
NODE = signers.node_signer("local", "node-1")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running stack of two pools with the noop model published."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "policy.yaml").write_text(TWO_POOLS)
    with installation(folder / "stack", policy=folder / "policy.yaml") as started:
        started.json("models", "publish", str(NOOP), "--pool", "main")
        yield started


def refused(
    brokers: Brokers, *topics: str, record: SignedRecord | None = None, within_s: float = 20.0
) -> dict[str, int]:
    """The errors with which these topics took no record, all written at once by one client that asks for no more."""
    told: dict[str, KafkaError | None] = {}
    plain = {"log_level": 0, "message.timeout.ms": int(1000 * within_s), "enable.idempotence": False}
    producer = kafka_clients.producer({**brokers.librdkafka(), **plain})
    said = record or SignedRecord(0, b"{}", b"key", [])
    for topic in topics:
        producer.produce(
            topic,
            said.value,
            key=said.key,
            partition=said.partition,
            headers=list(said.headers),
            on_delivery=lambda error, message: told.__setitem__(message.topic(), error),
        )
    assert producer.flush(within_s + 5) == 0
    return {topic: error.code() for topic, error in told.items() if error is not None}


def forbidden(*topics: str) -> dict[str, int]:
    return dict.fromkeys(topics, KafkaError.TOPIC_AUTHORIZATION_FAILED)


def signed(here: Installation, signer: str, said: EraseRequested | NodeHeartbeat, partition: int = 0) -> SignedRecord:
    """As whoever has this signer's key signs it."""
    key, event_id = installation_keys(here.layout.installation_keys.read_text())[0].of(signer), uuid.uuid4().hex
    return RecordSigner(key).record(
        said, partition=partition, key=event_id.encode(), event_id=event_id, source="//forger"
    )


def job(here: Installation) -> str:
    done: str = here.json("jobs", "submit", "noop")["job"]
    until(lambda: here.json("jobs", "get", done)["job"]["state"] == "succeeded", "the job has run")
    return done


def refusals(here: Installation) -> dict[str, str]:
    """Reasons by record of `jobs`."""
    found = here.json("quarantine", "list")
    return {entry["record"]: entry["reason"] for entry in found if entry["record"].startswith(f"{JOBS}/")}


def test_whoever_reaches_the_port_is_nobody_there(own: Installation) -> None:
    """Finding 1, from the position of another account, of another container, and of a model: it has no user."""
    passwords = set(read(own.layout.kafka_users, dict[str, str]).values())
    done = job(own)
    (model, *_) = own.model_processes("node-1")
    assert not passwords & set(model.environ().values())
    nameless = Brokers(stack.settings(own.data).kafka, PLAINTEXT)
    asked = kafka_clients.admin_client({**nameless.librdkafka(), "log_level": 0})
    with pytest.raises(KafkaException):
        asked.list_topics(timeout=2)
    before = offsets(stack.settings(own.data).brokers, JOBS, 0)[1]
    erase = signed(own, "operator.owner", EraseRequested(done, ""))
    assert refused(nameless, JOBS, record=erase, within_s=3) == {JOBS: KafkaError._MSG_TIMED_OUT}
    assert offsets(stack.settings(own.data).brokers, JOBS, 0)[1] in range(before, before + 50)
    assert own.json("jobs", "get", done)["job"]["state"] == "succeeded", "nobody erased it, though the key was right"


def test_a_node_is_no_scheduler_no_tenant_and_no_operator(own: Installation) -> None:
    """Findings 1 and 5, with the node's own user and key."""
    node = stack.brokers(own.data, node_role("local"))
    shut = EVERYTHING - {JOBS, PROGRESS}
    assert refused(node, *shut) == forbidden(*shut)
    done, before = job(own), refusals(own)
    assert refused(node, JOBS, record=signed(own, NODE, EraseRequested(done, ""))) == {}
    until(lambda: len(refusals(own)) > len(before), "what no node may say is set aside")
    assert set(refusals(own).values()) - set(before.values()) == {f"{signers.OF_ANOTHER_ROLE}node, EraseRequested"}
    assert own.json("jobs", "get", done)["job"]["state"] == "succeeded"


def test_what_a_node_said_in_its_pool_is_refused_in_another(own: Installation) -> None:
    """Its signature is for its pool's partition, which the broker cannot keep it to."""
    said, before = signed(own, NODE, NodeHeartbeat("node-1", "session")), refusals(own)
    copied = said._replace(partition=1)
    assert refused(stack.brokers(own.data, node_role("local")), JOBS, record=copied) == {}
    until(lambda: len(refusals(own)) > len(before), "the copy is set aside")
    ((record, reason),) = refusals(own).items() - before.items()
    assert (record.rpartition("/")[0], reason) == (f"{JOBS}/1", signing.WRONG)


def test_an_auditor_writes_nothing_and_a_producer_its_topic(own: Installation) -> None:
    assert refused(stack.brokers(own.data, access.AUDITOR), *EVERYTHING) == forbidden(*EVERYTHING)
    shut = EVERYTHING - {SUBMISSIONS}
    assert refused(stack.brokers(own.data, access.PRODUCER), *EVERYTHING) == forbidden(*shut)


@contextmanager
def node_by_hand(here: Installation, folder: Path, cluster: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node of this cluster, started as the runbook says."""
    shown = [
        here.cli("topics", "login", node_role(cluster)),
        here.cli("keys", "derive", signers.node_signer(cluster, name)),
        here.cli("nodes", "token", "--cluster", cluster, "--name", name),
    ]
    assert {done.returncode for done in shown} == {0}, shown
    own = dict(line.split("=", 1) for done in shown for line in done.stdout.splitlines())
    store = {name: value for name, value in stack.settings(here.data).environment().items() if "_S3_" in name}
    more = {"HEADRACE_DATA": str(folder), "HEADRACE_HEARTBEAT_MS": "500"}
    arguments = ["--cluster", cluster, "--node", name, "--slots", "1", "--partition", "1"]
    with (folder / "node.log").open("wb") as log:
        node = subprocess.Popen(
            [sys.executable, "-m", "gpu_worker", *arguments], env={**os.environ, **store, **own, **more}, stderr=log
        )
    try:
        yield node
    finally:
        node.terminate()
        node.wait(30)


def ready(here: Installation, node: str) -> bool:
    with here.api(operator=True) as client:
        return any((one["node"], one["state"]) == (node, "ready") for one in client.get("/v1/nodes")["nodes"])


def test_a_new_cluster_of_a_policy_gets_its_user_and_who_is_gone_loses_it(own: Installation, tmp_path: Path) -> None:
    document = tmp_path / "policy.yaml"
    document.write_text(TWO_POOLS.replace("clusters:", "clusters:\n  west: {pool: other, limit: 4}"))
    assert own.cli("topics", "login", "node.west").returncode == 1
    applied = own.cli("policy", "apply", str(document))
    assert applied.returncode == 0, applied.stderr
    with node_by_hand(own, tmp_path, "west", "hand"):
        until(lambda: ready(own, "hand"), "the node of the new cluster has joined", 60)
        assert refused(stack.brokers(own.data, node_role("west")), dispatch_topic("west")) == forbidden("dispatch.west")
    west = stack.brokers(own.data, node_role("west"))
    assert own.cli("topics", "acls", str(own.options["policy"]), "--apply").returncode == 0
    assert own.cli("topics", "login", "node.west").returncode == 1
    with pytest.raises(KafkaException):
        kafka_clients.admin_client({**west.librdkafka(), "log_level": 0}).list_topics(timeout=2)
    job(own)


def test_data_of_an_older_release_gets_its_users_by_itself_and_that_is_said(own: Installation) -> None:
    """Such data has no users. The broker's part of it: tests/integration/runtime/test_principals.py."""
    own.stop()
    own.layout.kafka_users.unlink()
    own.start()
    assert NAMED_NOW in stack.status(own.data).warnings
    assert {"node.local", "node.east"} <= set(read(own.layout.kafka_users, dict[str, str]))
    job(own)
    own.stop()
    own.start()
    assert NAMED_NOW not in stack.status(own.data).warnings, "it is said once"
