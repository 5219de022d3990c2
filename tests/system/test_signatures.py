"""Records that somebody forged, on a running stack: each is in quarantine once, and nothing comes of any."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import msgspec
import pytest

from audit.ledger.reader import ledger_of_partition
from contract import signers, signing
from contract.access import node_role
from contract.codec import decode_batch
from contract.events import JobDispatched
from contract.inputs import CancelRequested, Failed, NodeReport, PolicyApplied, Wire
from contract.policy import fingerprint
from contract.signers import node_signer
from contract.signing import InstallationKey, RecordSigner, SigningKey, installation_keys
from contract.topics import JOBS
from local import stack
from local.first_policy import read_policy
from runtime import jobs_writer
from runtime.kafka import Producer
from tests.system.installation import POLICY, Installation, installation
from tests.waiting import until

NODE = node_signer("local", "node-1")
STRANGE = InstallationKey(b"x" * 32)


class Forger:
    """Whoever has the broker's user of a node, and so may write to `jobs`."""

    def __init__(self, here: Installation) -> None:
        self._producer = Producer(stack.brokers(here.data, node_role("local")), "forger")

    def say(self, key: SigningKey | None, said: Wire) -> str:
        """Write the record, signed by this key if there is one. The record as commands name it."""
        event_id = uuid.uuid4().hex
        record = RecordSigner(key).record(
            said, partition=0, key=event_id.encode(), event_id=event_id, source="//forger"
        )
        return f"{JOBS}/0/{jobs_writer.send_and_wait(self._producer, record).offset}"

    def close(self) -> None:
        self._producer.close()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running stack with the noop model published, which the test stops and starts."""
    with installation(tmp_path_factory.mktemp("signed")) as started:
        started.publish_noop()
        yield started


def key_of(here: Installation) -> InstallationKey:
    return installation_keys(here.layout.installation_keys.read_text())[0]


def refusals(here: Installation) -> list[tuple[str, str]]:
    """Record and reason of each record of `jobs` in quarantine, oldest first."""
    found = here.json("quarantine", "list")
    return sorted((entry["record"], entry["reason"]) for entry in found if entry["record"].startswith(f"{JOBS}/"))


def submit(here: Installation, sleep_ms: int = 0) -> str:
    submitted = here.json("jobs", "submit", "noop", "--input", f"sleep_ms:={sleep_ms}")
    job: str = submitted["job"]
    return job


def state(here: Installation, job: str) -> str:
    found: str = here.json("jobs", "get", job)["job"]["state"]
    return found


def dispatched(here: Installation, job: str) -> JobDispatched:
    """What the ledger says of the job's attempt: enough for a report that would be believed from its node."""
    read, _ = ledger_of_partition(stack.settings(here.data).brokers, 0)
    events = [event for record in read() for event in decode_batch(record.value).events]
    return next(event for event in events if isinstance(event, JobDispatched) and event.job == job)


def verified(here: Installation) -> None:
    done = here.cli("audit", "verify", within_s=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_forged_is_set_aside_once_and_nothing_comes_of_it(own: Installation) -> None:
    forger, key = Forger(own), key_of(own)
    job = submit(own, sleep_ms=4_000)
    until(lambda: state(own, job) == "started", "the job runs")
    sent = dispatched(own, job)
    before = own.json("policy", "show")["policies"]
    policy = msgspec.structs.replace(read_policy(POLICY), failures_max=1)
    failed = NodeReport(sent.node, sent.session, (Failed(job, sent.dispatch, "bad_inputs"),))
    cancel = CancelRequested(job, "")
    expected = [
        (forger.say(None, cancel), signing.UNSIGNED),
        (forger.say(STRANGE.of("operator.owner"), cancel), signing.OTHER_KEY),
        (forger.say(key.of(NODE), cancel), f"{signers.OF_ANOTHER_ROLE}node, CancelRequested"),
        (
            forger.say(key.of(NODE), PolicyApplied(policy, fingerprint(policy))),
            f"{signers.OF_ANOTHER_ROLE}node, PolicyApplied",
        ),
        (forger.say(key.of(node_signer("local", "node-2")), failed), signers.OF_ANOTHER_NODE),
    ]
    until(lambda: len(refusals(own)) >= len(expected), "all are in quarantine")
    until(lambda: state(own, job) == "succeeded", "the job has run to its end")
    assert refusals(own) == sorted(expected)
    assert own.json("policy", "show")["policies"] == before
    verified(own)
    forger.close()


def test_an_operators_word_is_taken_and_the_history_names_the_operator(own: Installation) -> None:
    job = submit(own)
    until(lambda: state(own, job) == "succeeded", "the job has run")
    erased = own.cli("jobs", "erase", job, within_s=120)
    assert erased.returncode == 0, erased.stderr
    assert "by order of operator.owner" in own.cli("audit", "story", job).stdout
    assert own.cli("clusters", "drain", "local", "--wait").returncode == 0
    assert own.cli("clusters", "activate", "local").returncode == 0
    running = submit(own, sleep_ms=60_000)
    until(lambda: state(own, running) == "started", "the job runs")
    assert own.cli("jobs", "cancel", running).returncode == 0
    until(lambda: state(own, running) == "cancelled", "the job is ended")
    assert "by order of api" in own.cli("audit", "story", running).stdout
    verified(own)


def test_a_key_that_was_replaced_speaks_for_nobody(own: Installation) -> None:
    old, new = key_of(own), InstallationKey(uuid.uuid4().bytes * 2)
    own.stop()
    own.layout.installation_keys.write_text(f"{new.secret.hex()},{old.secret.hex()}")
    own.start()
    before = set(refusals(own))  # quarantine forgets the oldest meanwhile
    until(lambda: own.all_ready(), "the stack is ready")
    done = submit(own)
    until(lambda: state(own, done) == "succeeded", "whoever has the new key is heard")
    own.stop()
    own.layout.installation_keys.write_text(new.secret.hex())
    own.start()
    forger = Forger(own)
    job = submit(own, sleep_ms=2_000)
    late = forger.say(old.of("operator.owner"), CancelRequested(job, ""))
    until(lambda: set(refusals(own)) - before, "the record is in quarantine")
    assert set(refusals(own)) - before == {(late, signing.OTHER_KEY)}
    until(lambda: state(own, job) == "succeeded", "the job has run")
    forger.close()
    verified(own)


def test_keys_are_rotated_while_jobs_run(own: Installation) -> None:
    old, before = key_of(own), set(refusals(own))
    jobs = [submit(own, sleep_ms=300) for _ in range(10)]
    rotated = own.cli("keys", "rotate")
    assert rotated.returncode == 0, rotated.stderr
    new = key_of(own)
    assert new != old
    until(lambda: own.json("keys", "status")[1]["parts"] == [], "no part signs by the old key", 120)
    until(lambda: own.all_ready(), "the stack is ready")
    jobs.append(submit(own))
    until(lambda: all(state(own, job) == "succeeded" for job in jobs), "every job has run", 120)
    assert own.json("keys", "status")[0]["parts"] == ["api", "intake", "relay", "node-1"]
    assert own.cli("policy", "revoke", "operator.eve").returncode == 0, "commands sign by the new key, too"
    finished = own.cli("keys", "rotate", "--finish", "--force")
    assert finished.returncode == 0, finished.stderr
    assert [key["key_id"] for key in own.json("keys", "status")] == [new.id]
    job = submit(own)
    until(lambda: state(own, job) == "succeeded", "the scheduler has started anew", 120)
    assert set(refusals(own)) <= before, "nothing was refused"
    verified(own)
