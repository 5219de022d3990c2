"""What outsiders send stops nobody else: one stack is fed what stopped v0.1.0, while good jobs of another tenant run.

The inputs are small ones that users of other systems report (their numbers, C1 and so on, are those of the review of
November 2026). At the end every good job has succeeded, no process of ours ended unasked, the ledger is clean, and each
record that was refused is in `quarantine` once.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from confluent_kafka import Producer as PlainProducer

from contract import access
from contract.names import job_id_of_event
from contract.topics import SUBMISSIONS
from local import stack
from registry.depot import COMPLETE, MANIFEST
from registry.manifest import decode_manifest, digest_of, encode_manifest
from registry.trees import marks_of
from runtime.kafka_credentials import Brokers
from tests.system.installation import POLICY, Installation, installation, wait_ended
from tests.system.senders import (
    SOURCE,
    WITHIN_S,
    Feeder,
    ended,
    good_jobs,
    quarantined,
    submission,
    submit,
)
from tests.waiting import until

BASE = POLICY.read_text().replace("words_kept: 30s", "words_kept: 1h")
"""The short times of the other stacks, but what is in `quarantine` stays until the end."""
CASES = Path(__file__).parent / "cases"


def numbers_nobody_can_hold(feeder: Feeder) -> None:
    """C1 and its siblings, X-expires."""
    feeder.send("1e999", submission(b'{"sleep_ms":1e999}'))
    feeder.send("5,000 digits", submission(b'{"sleep_ms":' + b"9" * 5_000 + b"}"))
    feeder.send("no UTF-8", submission(b'{"prompt":"SECRET \xc3\x28"}'))
    feeder.send("half an emoji", submission(b'{"prompt":"SECRET \\ud83d"}'))
    feeder.send("NUL", submission(b'{"prompt":"SECRET \\u0000"}'))
    feeder.send("deep", submission(b"[" * 50_000 + b"]" * 50_000))
    feeder.send("2^63", submission(b"{}", more=b',"expires_ms":9223372036854775808'))
    feeder.send("year 33658", submission(b"{}", more=b',"expires_ms":1000000000000000'))
    feeder.send("no key", submission(b"{}"), key=None)
    feeder.send("no value", None)
    feeder.send("empty", b"")
    feeder.send("another's key", submission(b"{}", tenant=b"SECRET"))
    feeder.send("60,000 bytes that are no JSON", b"x" * 60_000)


def models_that_cannot_be_judged(here: Installation) -> None:
    """C2: publishing refuses them, with line and reference."""
    for name in ("ref-a", "ref-b", "ref-c", "ref-d"):
        done = here.cli("models", "publish", str(CASES / name))
        assert done.returncode == 2, (name, done.stdout, done.stderr)
        assert "model.yaml line" in done.stderr
        assert "Traceback" not in done.stderr


def slow_and_deep_inputs(here: Installation, feeder: Feeder) -> None:
    """C4: whatever publishing takes is judged soon, and others are served meanwhile."""
    inputs: dict[str, bytes] = {
        "slow-a": b'{"prompt":"' + b"a" * 28 + b'!"}',
        "slow-b": json.dumps({"items": [{"k": number} for number in range(6_000)]}).encode(),
        "slow-c": b'{"tree":' + b'{"n":' * 250 + b"{}" + b"}" * 250 + b"}",
    }
    for name, raw in inputs.items():
        done = here.cli("models", "publish", str(CASES / name))
        assert done.returncode in (0, 2), done.stderr
        if done.returncode == 2:
            assert "model.yaml line" in done.stderr
            continue
        answer = post(here, b'{"model":"%s","inputs":%s}' % (name.encode(), raw))
        assert answer.status_code in (202, 413, 422), answer.text
        value = submission(raw).replace(b'"noop"', b'"%s"' % name.encode())
        if answer.status_code == 202:
            feeder.job("bad", name, raw)
        else:
            feeder.send(name, value)


def wait_succeeded(kafka: Brokers, jobs: list[str]) -> None:
    """All of them, whoever's they are."""
    until(lambda: ended(kafka).keys() >= set(jobs), f"{len(jobs)} jobs ended", 2 * WITHIN_S)
    found = ended(kafka)
    assert {job: found[job] for job in jobs if found[job] != "JobSucceeded"} == {}


def post(here: Installation, body: bytes, content_type: str = "application/json") -> httpx.Response:
    """As curl does it; every answer that is no success is a sentence."""
    settings, keys = stack.settings(here.data), stack.keys(here.data)
    headers = {"Authorization": f"Bearer {keys.api_key}", "Content-Type": content_type}
    answer = httpx.post(f"{settings.api_url}/v1/jobs", content=body, headers=headers, timeout=WITHIN_S)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.status_code < 500, answer.text
    return answer


def words_of_models(here: Installation) -> None:
    """C20: half an emoji in progress and errors is mended, in values it is refused once, with where."""
    here.json("models", "publish", str(CASES / "half"))
    with here.api() as client:
        jobs = {how: submit(client, "surrogate", {"how": how}) for how in ("progress", "values", "error")}
        found = wait_ended(client, list(jobs.values()), WITHIN_S)
    assert found[jobs["progress"]]["state"] == "succeeded"
    values = found[jobs["values"]]
    assert (values["state"], values["attempts"]) == ("dead_lettered", 1), "the film is not made again"
    assert found[jobs["error"]]["state"] == "dead_lettered"


def numbers_written_with_a_fraction(here: Installation, feeder: Feeder) -> None:
    """C29: one rule at every door."""
    here.json("models", "publish", str(CASES / "ints"))
    for number in (b"24.0", b"1e2", b"9007199254740993.0"):
        answer = post(here, b'{"model":"ints","inputs":{"steps":%s}}' % number)
        assert answer.status_code == 422, answer.text
        feeder.send("a fraction", submission(b'{"steps":%s}' % number).replace(b'"noop"', b'"ints"'))
        done = here.cli("jobs", "submit", "ints", "--input", f"steps:={number.decode()}")
        assert done.returncode == 2, done.stdout
    with here.api() as client:
        job = submit(client, "ints", {"steps": 24})
        assert wait_ended(client, [job], WITHIN_S)[job]["state"] == "succeeded"


def lines_of_curl(here: Installation) -> None:
    """C10: curl sends a form's content type when nothing is said."""
    body = b'{"model": "noop", "inputs": {}}'
    for content_type in ("application/x-www-form-urlencoded", "application/json; charset=utf-8", "application/json"):
        assert post(here, body, content_type).status_code == 202
    assert post(here, body, "application/json; charset=iso-8859-1").status_code == 415


def transactions(producer: Brokers) -> tuple[list[str], list[str]]:
    """C7: (jobs that were committed, jobs that were aborted); each of 100 transactions has one record."""
    plain = PlainProducer({**producer.librdkafka(), "transactional.id": "outbox"})
    plain.init_transactions(30)
    ids: dict[str, list[str]] = {"aborted": [], "committed": []}

    def put(tenant: str) -> str:
        event = uuid.uuid4().hex
        plain.produce(
            SUBMISSIONS,
            submission(b"{}", tenant.encode()),
            key=tenant,
            headers={"ce_id": event, "ce_source": SOURCE},
        )
        return job_id_of_event("main", tenant, SOURCE, event)

    for tenant, end in (("aborted", plain.abort_transaction), ("committed", plain.commit_transaction)):
        plain.begin_transaction()
        ids[tenant] += [put(tenant) for _ in range(5)]
        plain.flush(10)
        end(30)
    for number in range(100):
        plain.begin_transaction()
        ids["committed"].append(put(f"single-{number % 4}"))
        plain.commit_transaction(30)
    return ids["committed"], ids["aborted"]


def policy(path: Path, *more: str, old: tuple[str, str] = ("", "")) -> str:
    """The stack's policy with these lines, as a file."""
    path.write_text("\n".join([BASE.replace(*old), *more, ""]))
    return str(path)


def a_policy_that_is_refused(here: Installation, folder: Path) -> None:
    """C12: it is checked whole before anything is changed."""
    weights = ", ".join(f"tenant-with-a-long-name-{number:05}: 2" for number in range(3_000))
    done = here.cli("policy", "apply", policy(folder / "weights.yaml", f"tenant_weights: {{{weights}}}"))
    assert done.returncode == 2, done.stderr
    assert "64 KiB" in done.stderr
    answer = post(here, b'{"model":"noop","inputs":{"prompt":"%s"}}' % (b"x" * 100_000))
    assert answer.status_code in (202, 422), answer.text


def refusals_under_a_small_payload_max(here: Installation, feeder: Feeder, folder: Path) -> None:
    """C12: what says why something was refused always fits."""
    small = policy(folder / "small.yaml", "payload_max: 1KiB")
    assert here.cli("policy", "apply", small).returncode == 0
    feeder.send_until_refused("2 KB at 1 KiB", submission(b'{"prompt":"' + b"x" * 2_000 + b'"}'))
    feeder.send("60,000 bytes at 1 KiB", b"x" * 60_000)


def a_node_of_many_versions(here: Installation) -> None:
    """C27: it joins and is heard, with the list of its versions cut."""
    (versions,) = here.layout.processes.glob("*/depot/versions")
    known = next(path for path in versions.iterdir() if path.is_dir())
    manifest = decode_manifest((known / MANIFEST).read_bytes(), f"sha256:{known.name}")
    for number in range(950):
        other = msgspec.structs.replace(manifest, timeout_ms=manifest.timeout_ms + 1 + number)
        place = versions / digest_of(other).removeprefix("sha256:")
        shutil.copytree(known, place, symlinks=True)
        (place / MANIFEST).write_bytes(encode_manifest(other))
        (place / COMPLETE).write_bytes(msgspec.json.encode({"files": marks_of(place, COMPLETE)}))
    assert here.kill("node-1")
    with here.api(operator=True) as client:

        def listed() -> int:
            (node,) = client.get("/v1/nodes")["nodes"]
            return len(node["cached"]) if node["state"] == "ready" else 0

        until(lambda: listed() > 100, "the node has joined with as many versions as fit", WITHIN_S)
        assert listed() < 250, "16 KiB of them"


def pools_that_come(here: Installation, feeder: Feeder, folder: Path) -> None:
    """X-pools: a new pool and more partitions are adopted within seconds, also after kill -9."""
    more = ("submission_partitions: 8", "payload_max: 1KiB")
    pools = ("main: {partition: 0}", "main: {partition: 0}\n  other: {partition: 1}")
    document = folder / "pools.yaml"
    document.write_text(Path(policy(folder / "more.yaml", *more, old=pools)).read_text())
    text = document.read_text().replace("clusters:", "clusters:\n  east: {pool: other, limit: 4}")
    document.write_text(text)
    for part in ("scheduler", "intake", "projector"):
        assert here.kill(part)
    done = here.cli("policy", "apply", str(document), within_s=120)
    assert done.returncode == 0, done.stderr
    jobs = [feeder.job(f"tenant-{number}") for number in range(16)]
    wait_succeeded(feeder.kafka, jobs)
    verdict = here.cli("audit", "verify")
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A stack of its own."""
    folder = tmp_path_factory.mktemp("cases")
    with installation(folder, slots=4, policy=policy(folder / "first.yaml")) as started:
        started.publish_noop()
        yield started


def test_what_outsiders_send_stops_nobody_else(here: Installation, tmp_path: Path) -> None:
    feeder = Feeder(here)
    before = {part.name: part.restarts for part in stack.status(here.data).parts}
    with good_jobs(here) as good:
        numbers_nobody_can_hold(feeder)
        models_that_cannot_be_judged(here)
        slow_and_deep_inputs(here, feeder)
        words_of_models(here)
        numbers_written_with_a_fraction(here, feeder)
        lines_of_curl(here)
        committed, aborted = transactions(stack.brokers(here.data, access.PRODUCER))
        a_policy_that_is_refused(here, tmp_path)
        refusals_under_a_small_payload_max(here, feeder, tmp_path)
        a_node_of_many_versions(here)
        unasked = {part.name: part.restarts for part in stack.status(here.data).parts}
        pools_that_come(here, feeder, tmp_path)
    killed = {"node-1": before["node-1"] + 1}
    assert unasked == before | killed, "no process of ours ended unasked"
    wait_succeeded(feeder.kafka, [*good.jobs, *committed])
    assert ended(feeder.kafka).keys().isdisjoint(aborted), "an aborted submission ran"
    assert len(good.jobs) > 20
    assert good.failures == []
    wanted = {(SUBMISSIONS, partition, offset) for partition, offset in feeder.places}

    def missing() -> list[str]:
        found = quarantined(feeder.kafka)
        return [
            what for (partition, offset), what in feeder.places.items() if not found[SUBMISSIONS, partition, offset]
        ]

    until(
        lambda: not missing(), f"every refused record is in quarantine; at first these were not: {missing()}", WITHIN_S
    )
    assert quarantined(feeder.kafka) == Counter(wanted), "each once, and nothing else"
    assert here.all_ready()
    verdict = here.cli("audit", "verify")
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    assert "NOT clean" not in verdict.stdout
    for place, what in feeder.places.items():
        shown = here.cli("quarantine", "show", f"submissions/{place[0]}/{place[1]}")
        assert shown.returncode == 0, (what, shown.stderr)
    feeder.close()
