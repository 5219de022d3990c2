"""Who may say what on a real broker: records in another pool's partition, revoked signers, join tokens, rotation."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import msgspec
import pytest

from contract import signers, signing
from contract.codec import body_of
from contract.events import (
    InputQuarantined,
    JobAccepted,
    JobSucceeded,
    NodeAdmitted,
    NodeDeparted,
    NodeRefused,
    PolicyAdopted,
    PoolHeld,
)
from contract.inputs import HoldRequested, NodeJoined, PolicyApplied, Wire
from contract.join_tokens import make
from contract.policy import fingerprint
from contract.signers import MAY_SAY, node_signer
from contract.signing import InstallationKey, RecordSigner, SignedRecord
from local.services import Services
from runtime import jobs_writer
from runtime.kafka import Producer
from scheduling.judge import REVOKED
from tests.integration.streams.pool import POLICY, Pool
from tests.integration.streams.processes import Processes
from tests.waiting import until

OLD, NEW = (InstallationKey(uuid.uuid4().bytes * 2) for _ in range(2))
HERE, THERE = "a" * 32, "b" * 32
"""Identities of two machines."""


class SignedPool(Pool):
    """A pool whose users sign, each by a key derived from `key`."""

    key = OLD

    def say(self, record: Wire) -> int:
        return self.say_as(self._role(record), record)

    def say_as(self, signer: str, record: Wire, token: str = "") -> int:
        signed = self.signed(signer, record)
        return self.send(jobs_writer.with_join_token(signed, token) if token else signed)

    def signed(self, signer: str, record: Wire) -> SignedRecord:
        event_id = uuid.uuid4().hex
        return RecordSigner(self.key.of(signer)).record(
            record, partition=self.partition, key=event_id.encode(), event_id=event_id, source="//test"
        )

    def send(self, record: SignedRecord) -> int:
        return jobs_writer.send_and_wait(self._producer, record).offset

    def _role(self, record: Wire) -> str:
        role = MAY_SAY.get(type(body_of(record)), (signers.OPERATOR,))[0]
        return {signers.NODE: self.node_signer(), signers.OPERATOR: "operator.ada"}.get(role, role)

    def node_signer(self) -> str:
        return node_signer(self.cluster, self._node)

    def adopt(self, **changes: object) -> None:
        policy = msgspec.structs.replace(POLICY, **changes)
        self.say(PolicyApplied(policy, fingerprint(policy), until_ms=now_ms() + 60_000))
        until(lambda: self.adopted() == fingerprint(policy), "the policy is in force")

    def adopted(self) -> str:
        found = [event.fingerprint for event in self.events() if isinstance(event, PolicyAdopted)]
        return found[-1] if found else ""

    def joined(self, session: str, identity: str, token: str = "") -> NodeAdmitted | NodeRefused:
        """What comes of a join of the pool's node, on the machine with this identity."""
        said = NodeJoined(self._node, session, self.cluster, "cpu", 1, 0, 1_000, identity=identity)
        self.say_as(self.node_signer(), said, token)

        def found() -> list[NodeAdmitted | NodeRefused]:
            kinds = (NodeAdmitted, NodeRefused)
            return [event for event in self.events() if isinstance(event, kinds) and event.session == session]

        until(lambda: bool(found()), "the join is judged")
        return found()[0]

    def reasons(self) -> list[tuple[int, str]]:
        """Offset and reason of what was set aside."""
        return [(event.offset, event.reason) for event in self.events() if isinstance(event, InputQuarantined)]


@pytest.fixture
def signed_pool(servers: Services) -> Iterator[SignedPool]:
    producer = Producer(servers.settings.brokers, "test")
    pool = SignedPool(servers.settings, producer, Pool.unused(servers.settings, producer).partition)
    yield pool
    pool.close()
    producer.close()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def start(processes: Processes, *keys: InstallationKey, group: str) -> object:
    return processes.start("scheduler", group, installation_keys=",".join(key.secret.hex() for key in keys))


def test_who_is_out_is_out(signed_pool: SignedPool, servers: Services, processes: Processes) -> None:
    pool, producer = signed_pool, Producer(servers.settings.brokers, "test")
    other = SignedPool(servers.settings, producer, Pool.unused(servers.settings, producer).partition)
    start(processes, OLD, group=f"keys-{uuid.uuid4().hex[:6]}")
    for each in (pool, other):
        each.setup()
    pool.adopt(join_tokens=True, revoked=("operator.eve",))

    # a node's record, as it was signed for its own pool, in another pool's partition
    until(lambda: bool(other.opened()), "the other pool is led")
    said = pool.signed(pool.node_signer(), NodeJoined(pool._node, "s0", pool.cluster, "cpu", 1, 0, 1_000))
    stray = other.send(said._replace(partition=other.partition))
    until(lambda: other.reasons() == [(stray, signing.WRONG)], "it is refused there")
    assert [found.offset for found in other.quarantined()] == [stray]

    # a revoked operator
    ignored = pool.say_as("operator.eve", HoldRequested())
    until(lambda: pool.reasons() == [(ignored, REVOKED)], "what a revoked operator says is set aside")
    assert not any(isinstance(event, PoolHeld) for event in pool.events())

    # a copied key on another machine, without a token and with one
    token = make(OLD, pool.cluster, pool._node, now_ms() + 60_000)
    assert pool.joined("s1", HERE) == NodeRefused(pool._node, "s1", "no_token")
    assert isinstance(pool.joined("s2", HERE, token), NodeAdmitted)
    assert isinstance(pool.joined("s3", HERE), NodeAdmitted), "a container that starts again has its identity"
    assert pool.joined("s4", THERE) == NodeRefused(pool._node, "s4", "name_taken")
    mac = token.rpartition(".")[2].encode()
    assert not any(mac in (record.value or b"") for record in pool.records())

    # the node itself is revoked: it is put out, and hears so
    pool.adopt(join_tokens=True, revoked=(pool.node_signer(), "operator.eve"))
    until(lambda: any(isinstance(event, NodeDeparted) for event in pool.events()), "the node is put out")
    assert pool.joined("s5", HERE) == NodeRefused(pool._node, "s5", "revoked")
    producer.close()


def test_a_rotation_while_jobs_run_loses_nothing(signed_pool: SignedPool, processes: Processes) -> None:
    pool, group = signed_pool, f"keys-{uuid.uuid4().hex[:6]}"

    def worked() -> bool:
        pool.work()
        return len(pool.count(JobSucceeded)) == len(pool.jobs)

    running = start(processes, OLD, group=group)
    pool.setup()
    until(lambda: bool(pool.opened()), "the pool is led")
    pool.join()
    for keys, signs_by in (((OLD,), OLD), ((NEW, OLD), OLD), ((NEW, OLD), NEW), ((NEW,), NEW)):
        pool.key = signs_by
        pool.submit(5)
        if keys != (OLD,):
            assert running.terminate() == 0  # type: ignore[attr-defined]
            pool.submit(5)  # acknowledged while no scheduler runs
            running = start(processes, *keys, group=group)
        until(worked, "every job succeeds", 60)
    assert pool.count(JobAccepted) == pool.count(JobSucceeded) == dict.fromkeys(pool.jobs, 1)
    assert pool.reasons() == []
    pool.key = OLD
    late = pool.say(pool.submission())
    until(lambda: pool.reasons() == [(late, signing.OTHER_KEY)], "the old key speaks for nobody")
