"""What an operator does with a record that was refused, or at which intake is stuck, on a running stack."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from contract import access
from contract.codec import encode, headers_for
from contract.names import job_id_of_event
from contract.side_topics import SubmissionRequested
from contract.topics import SUBMISSIONS
from local import stack
from runtime.kafka import Producer
from runtime.object_store import ObjectStore
from tests.system.installation import HEADRACE, NOOP, Installation
from tests.waiting import until

SOURCE = "//upstream"


class Upstream:
    """A product that submits over Kafka."""

    def __init__(self, here: Installation) -> None:
        self.settings = stack.settings(here.data)
        self._producer = Producer(stack.brokers(here.data, access.PRODUCER), "upstream")

    def submit(self, model: str) -> tuple[str, str]:
        """(the record as commands name it, the job that it would be)."""
        event_id = uuid.uuid4().hex
        request = SubmissionRequested("demo", "free", model, msgspec.Raw(b"{}"))
        headers = headers_for(request, event_id, SOURCE)
        sent = self._producer.send_and_wait(SUBMISSIONS, encode(request), key=b"demo", headers=headers)
        job = job_id_of_event("main", "demo", SOURCE, event_id)
        return f"{SUBMISSIONS}/{sent.partition}/{sent.offset}", job

    def close(self) -> None:
        self._producer.close()


@pytest.fixture
def upstream(here: Installation) -> Iterator[Upstream]:
    upstream = Upstream(here)
    yield upstream
    upstream.close()


def refused(here: Installation) -> dict[str, str]:
    """Reasons by record."""
    return {entry["record"]: entry["reason"] for entry in here.json("quarantine", "list")}


def succeeded(here: Installation, job: str) -> bool:
    found = here.cli("jobs", "get", job, "-o", "json")
    return found.returncode == 0 and msgspec.json.decode(found.stdout)["job"]["state"] == "succeeded"


def test_what_was_refused_is_seen_mended_and_submitted_again(
    here: Installation, upstream: Upstream, tmp_path: Path
) -> None:
    name = f"late-{uuid.uuid4().hex[:8]}"
    record, job = upstream.submit(name)
    until(lambda: record in refused(here), "the record is in quarantine")
    assert refused(here)[record] == "model: none has this name"
    shown = here.cli("quarantine", "show", record)
    assert shown.returncode == 0
    for words in (record, "model: none has this name", "demo", SOURCE, f'"model":"{name}"'):
        assert words in shown.stdout
    status = here.cli("status")
    assert f"the newest is {record}: model: none has this name" in status.stdout

    (tmp_path / "model.yaml").write_text((NOOP / "model.yaml").read_text().replace("name: noop", f"name: {name}"))
    for file in ("noop.py", "environment.lock"):
        (tmp_path / file).write_bytes((NOOP / file).read_bytes())
    here.json("models", "publish", str(tmp_path))
    again = here.json("quarantine", "resubmit", record)
    assert again["record"] == record
    until(lambda: succeeded(here, job), "the job has succeeded")
    assert again["again"] not in refused(here)


def test_intake_passes_over_a_record_that_an_operator_names(here: Installation, upstream: Upstream) -> None:
    """One at which it is stuck whatever is done: here it stands still, and is started again by its supervisor."""
    stuck = here.pid("intake")
    os.kill(stuck, signal.SIGSTOP)
    record, job = upstream.submit("noop")
    _, partition, offset = record.split("/")
    environment = {**os.environ, "HEADRACE_DATA": str(here.data)}
    skipping = subprocess.Popen(
        [*HEADRACE, "quarantine", "skip", record],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    store = ObjectStore(upstream.settings)
    until(lambda: any(key.endswith(f"/{partition}/{offset}.json") for key in store.list("skips/")), "it is ordered")
    os.kill(stuck, signal.SIGKILL)
    printed, said = skipping.communicate(timeout=60)
    assert skipping.returncode == 0, said
    assert f"{record} is passed over" in printed
    assert refused(here)[record] == "skipped by an operator"
    assert not succeeded(here, job)
    until(here.all_ready, "intake runs again")
    here.json("quarantine", "resubmit", record)
    until(lambda: succeeded(here, job), "it was brought back")


def test_a_record_of_the_ledger_is_passed_over_by_nobody(here: Installation) -> None:
    for record in ("ledger/0/0", "jobs/0/0"):
        for command in ("skip", "resubmit"):
            done = here.cli("quarantine", command, record)
            assert done.returncode == 2
            assert "only a record of `submissions`" in done.stderr
    assert not list(ObjectStore(stack.settings(here.data)).list("skips/"))
