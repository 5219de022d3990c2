"""The ledger is kept for ever, so nothing that a person or a model wrote is in it: neither words, values, names of
files and of classes, nor a digest by which they could be guessed."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import msgspec

from cli.api_client import ApiClient
from contract import access
from contract.chain import Chain, Counted
from contract.codec import encode
from contract.events import JobAccepted, JobSucceeded
from contract.names import job_id_of_event
from contract.results import ResultFile, ResultManifest
from contract.topics import LEDGER, SUBMISSIONS
from local import stack
from runtime.kafka import Producer, Record, offsets, read_range
from runtime.kafka_credentials import Brokers
from tests.system.installation import Installation, wait_ended
from tests.waiting import until

YAML = """
name: teller
entry_point: teller:Teller
chipsets: [cpu]
gpus: 0
timeout_s: 60
python: "3.11"
inputs:
  type: object
  properties: {prompt: {type: string}, fail: {type: string}}
outputs: {type: object}
"""
TELLER = """
from pathlib import Path

class Teller:
    def load(self, weights_dir, device, rank, world_size):
        pass

    def predict(self, inputs, ctx):
        print(inputs["prompt"])
        ctx.progress(0.5, inputs["prompt"])
        if inputs.get("fail") == "class":
            raise type(inputs["prompt"].replace("-", "_"), (Exception,), {})(inputs["prompt"])
        if inputs.get("fail"):
            raise ValueError(inputs["prompt"])
        Path(ctx.output("film-" + inputs["prompt"] + ".txt")).write_text("film of " + inputs["prompt"])
        return {"label": inputs["prompt"], "score": 0.93}
"""


def word(kind: str) -> str:
    return f"walrus-{kind}-{uuid.uuid4().hex[:12]}"


def records_of_ledger(brokers: Brokers) -> list[Record]:
    return list(read_range(brokers, LEDGER, 0, 0, offsets(brokers, LEDGER, 0)[1]))


def test_nothing_that_anybody_wrote_is_in_the_ledger(here: Installation, tmp_path: Path) -> None:
    (tmp_path / "teller.py").write_text(TELLER)
    (tmp_path / "model.yaml").write_text(YAML)
    (tmp_path / "environment.lock").write_text("")
    (tmp_path / "weights").mkdir()
    assert here.cli("models", "publish", str(tmp_path)).returncode == 0
    brokers = stack.settings(here.data).brokers
    words = {kind: word(kind) for kind in ("value", "message", "class", "upstream", "key", "event", "source", "trace")}
    with here.api() as client:
        jobs = [submit(client, words["value"], key=words["key"]), submit(client, words["message"], fail="message")]
        jobs += [submit(client, words["class"], fail="class")]
        tenant = stack.keys(here.data).tenant
        upstream(
            stack.brokers(here.data, access.PRODUCER), tenant, client.get(f"/v1/jobs/{jobs[0]}")["job"]["tier"], words
        )
        jobs.append(job_id_of_event("main", tenant, words["source"], words["event"]))
        until(lambda: accepted(brokers, jobs[-1]), "the upstream's job is accepted", 30)
        ended = wait_ended(client, jobs, 60)
        assert [ended[job]["state"] for job in jobs] == ["succeeded", "dead_lettered", "dead_lettered", "succeeded"]
        result = client.get(f"/v1/jobs/{jobs[0]}/result")
        assert result["values"] == {"label": words["value"], "score": 0.93}, "this check can fail"
    records = records_of_ledger(brokers)
    for text in (*words.values(), words["class"].replace("-", "_"), "0.93", "film-", "film of"):
        assert not [record.offset for record in records if text.encode() in whole(record)], text
    by_words_alone = hashlib.sha256(("film of " + words["value"]).encode()).hexdigest()
    assert not [record.offset for record in records if by_words_alone.encode() in whole(record)]
    guessed = guessed_manifest(records, jobs[0], words["value"])
    assert guessed not in b"".join(map(whole, records)), "whoever guesses the values must not be able to confirm them"


def submit(client: ApiClient, prompt: str, key: str = "", **inputs: object) -> str:
    body = {"model": "teller", "inputs": {"prompt": prompt, **inputs}}
    return str(client.post("/v1/jobs", body, {"Idempotency-Key": key or uuid.uuid4().hex})["job"])


def upstream(brokers: Brokers, tenant: str, tier: str, words: dict[str, str]) -> None:
    body = {
        "type": "SubmissionRequested.v1",
        "tenant": tenant,
        "tier": tier,
        "model": "teller",
        "inputs": {"prompt": words["upstream"]},
    }
    headers = [(name, words[kind].encode()) for name, kind in (("ce_id", "event"), ("ce_source", "source"))]
    headers.append(("traceparent", words["trace"].encode()))
    producer = Producer(brokers, "test-upstream")
    producer.send_and_wait(SUBMISSIONS, msgspec.json.encode(body), key=tenant.encode(), headers=headers)
    producer.close()


def accepted(brokers: Brokers, job: str) -> bool:
    said = b'"JobAccepted.v1","job":"%b"' % job.encode()
    return any(said in (record.value or b"") for record in records_of_ledger(brokers))


def whole(record: Record) -> bytes:
    """Everything of the record that Kafka keeps."""
    headers = [part for name, value in record.headers for part in (name.encode(), value or b"")]
    return b"\n".join([record.key or b"", record.value or b"", *headers])


def guessed_manifest(records: list[Record], job: str, prompt: str) -> bytes:
    """The digest that a result of these words would have without a salt: all else of it is public."""
    chain, version, dispatch = Chain("main"), "", ""
    for record in records:
        judged = chain.offer(record.offset, record.value or b"")
        for event in judged.batch.events if isinstance(judged, Counted) else ():
            if isinstance(event, JobAccepted) and event.job == job:
                version = event.version
            if isinstance(event, JobSucceeded) and event.job == job:
                dispatch = event.dispatch
    assert version
    assert dispatch
    text = f"film of {prompt}".encode()
    file = ResultFile(f"film-{prompt}.txt", hashlib.sha256(text).hexdigest(), len(text), "text/plain")
    values = msgspec.Raw(msgspec.json.encode({"label": prompt, "score": 0.93}))
    return hashlib.sha256(encode(ResultManifest(job, dispatch, version, values, (file,)))).hexdigest().encode()
