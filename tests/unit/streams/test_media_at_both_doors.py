"""What a submission names is looked at alike at both doors: HTTP and Kafka refuse the same, in the same sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from sqlalchemy import Engine

from api.catalog import Catalog
from api.heard import Heard
from api.resources import BrokerClock
from contract.codec import decode_input, encode
from contract.inputs import JobSubmitted
from contract.media import MEDIA_MAX, OutputSource
from contract.names import digest_of
from contract.policy import Cluster, Policy, Pool, Tier
from contract.results import EMPTY_MANIFEST, MANIFEST_NAME, ResultFile, ResultManifest, attempt_prefix
from contract.side_topics import SubmissionRequested
from contract.signing import InstallationKey, RecordSigner
from registry import audiences, media_names, models, uploads
from registry.media_names import SENTENCES, MediaFault
from registry.uploads import UploadQuota, UploadState
from runtime.kafka import Delivery, Record
from streams.door.admission import Admission, Refused, RegistryAway
from tests.properties.streams import registry_in_memory
from tests.twin.object_store import TwinObjectStore
from tests.twin.uploads import TwinUploads
from tests.unit.api.served import ServedApi
from tests.unit.api.versions import version
from tests.unit.audit.ledger import job_of
from views import queries
from views.receipts import ReceiptState
from views.rows import JobRow

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string"},
        "clip": {"type": "string", "format": "video", "media": {"frames_max": 48, "bytes_max": 1_000}},
        "stills": {"type": "array", "items": {"type": "string", "format": "image"}},
    },
}
TENANT = "acme"
QUOTA = UploadQuota(1_000, 10**9)
DONE, RUNNING, EMPTY, ERASED, LOST, LIED = map(job_of, range(1, 7))
FILM = ResultFile("film.mp4", "a" * 64, 900, "video/mp4")
RESULT = encode(ResultManifest(DONE, "1.2.3", "v", msgspec.Raw(b"{}"), (FILM, ResultFile("big", "b" * 64, 1_001, ""))))


def a_row(job: str, state: str = "succeeded", manifest: str = digest_of(RESULT), erasure: str = "") -> JobRow:
    row = JobRow(job, "main", TENANT, "free", "echo", "v", state, 0)
    row.result_dispatch, row.result_manifest, row.erasure = "1.2.3", manifest, erasure
    return row


class World:
    """What both doors ask."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.table, self.store = TwinUploads(), TwinObjectStore()
        rows = [a_row(DONE), a_row(RUNNING, "started"), a_row(EMPTY, manifest=EMPTY_MANIFEST)]
        rows += [a_row(ERASED, erasure="erased"), a_row(LOST), a_row(LIED)]
        self.jobs = {row.job: row for row in rows}
        self.store.place(attempt_prefix(DONE, "1.2.3") + MANIFEST_NAME, RESULT)
        self.store.place(attempt_prefix(LIED, "1.2.3") + MANIFEST_NAME, RESULT.replace(DONE.encode(), LIED.encode()))
        for name in ("name", "states"):
            monkeypatch.setattr(uploads, name, self._called(name))

        def job(connection: object, tenant: str, name: str) -> JobRow | None:
            return self.jobs.get(name) if tenant == TENANT else None

        monkeypatch.setattr(queries, "job", job)

    def _called(self, name: str) -> Callable[..., Any]:
        return lambda connection, *given: getattr(self.table, name)(*given)

    def upload(self, state: str = "ready", bytes: int = 900, tenant: str = TENANT) -> str:
        row = self.table.create(tenant, bytes, "", 60, QUOTA)
        if state == "ready":
            self.table.make_ready(tenant, row.upload, "", 60)
        elif state != "pending":
            self.table.end(tenant, row.upload, UploadState(state), "")
        return f"upload:{row.upload}"


class KafkaDoor:
    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known = False
        monkeypatch.setattr(registry_in_memory, "INPUTS_SCHEMA", SCHEMA)
        self._admission = registry_in_memory.an_admission(monkeypatch, store=world.store)
        self._admission._engine = cast("Engine", world.table)
        monkeypatch.setattr(Admission, "_is_known", lambda *_: self.known)

    def submit(self, inputs: dict[str, Any], tenant: str = TENANT) -> JobSubmitted | str:
        value = encode(SubmissionRequested(tenant, "free", "echo", msgspec.Raw(msgspec.json.encode(inputs))))
        headers = [("ce_source", b"s"), ("ce_id", b"1")]
        record = Record("submissions", 0, 7, 1_700_000_000_000, tenant.encode(), value, headers)
        try:
            return self._admission.admit(record, patient=True).record
        except Refused as refused:
            return str(refused)
        except RegistryAway:
            return "away"


class HttpDoor:
    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known = False
        self.written: list[bytes] = []
        here = version(SCHEMA)
        monkeypatch.setattr(models, "resolve", lambda *_: here)
        monkeypatch.setattr(audiences, "of", lambda *_: audiences.EVERYBODY)
        policy = Policy({"free": Tier(60_000)}, {"main": Pool(0)}, {"east": Cluster("main", 4)})

        def look_up(*given: Any) -> Any:
            return real(world.table, *given)

        real: Any = media_names.look_up
        self._api = ServedApi(
            store=world.store,
            reads={
                "is_known": lambda job: self.known,
                "reserve": lambda *_: ReceiptState.ACKNOWLEDGED if self.known else ReceiptState.NEW,
                "acknowledge": lambda *_: None,
                "job": lambda tenant, job: None,
                "look_up": look_up,
            },
        )

        async def of(pool: str = "") -> Policy:
            return policy

        async def bytes_max() -> int:
            return 100_000

        vars(self._api.resources).update(
            catalog=Catalog(cast("Engine", None), asyncio.to_thread),
            policies=SimpleNamespace(for_writing=of, payload_bytes_max=bytes_max),
            writes=SimpleNamespace(is_away=False),
            metrics=SimpleNamespace(submission=lambda outcome: None),
            producer=SimpleNamespace(asend=self._asend),
            signer=RecordSigner(InstallationKey(b"k" * 32).of("api")),
            clock=BrokerClock(),
            heard=Heard(),
        )

    async def _asend(self, topic: str, value: bytes, **_: Any) -> Delivery:
        self.written.append(value)
        return Delivery(0, 7, 1_700_000_000_000)

    def submit(self, inputs: dict[str, Any], tenant: str = TENANT) -> JobSubmitted | str:
        headers = {"Idempotency-Key": "mine"} if self.known else {}
        body = {"model": "echo", "inputs": inputs}
        answer = self._api.request("POST", "/v1/jobs", json=body, headers=headers, tenant=tenant)
        if answer.status_code in (200, 202):
            written = decode_input(self.written[-1]) if self.written else None
            return written if isinstance(written, JobSubmitted) else "known"
        if answer.status_code == 503:
            return "away"
        assert answer.status_code == 422, answer.text
        problem = answer.json()
        code = problem["type"].removeprefix("urn:headrace:problem:")
        assert code in [fault.value for fault in MediaFault] or code == "inputs-invalid"
        if code != "inputs-invalid":
            assert problem["detail"].startswith(f"{problem['path']}: expected")
        return str(problem["detail"])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.fixture(params=["kafka", "http"])
def door(request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch) -> KafkaDoor | HttpDoor:
    return KafkaDoor(world, monkeypatch) if request.param == "kafka" else HttpDoor(world, monkeypatch)


def test_what_is_let_in_says_how_many_media_it_names_and_where_outputs_lie(
    world: World, door: KafkaDoor | HttpDoor
) -> None:
    upload, source = world.upload(), f"job:{DONE}/film.mp4"
    stills = [source, "https://example.com/a.png?b=1", source]
    record = door.submit({"prompt": "upload:none", "clip": upload, "stills": stills})
    assert isinstance(record, JobSubmitted), record
    assert record.submission.media == 4
    assert record.outputs == (OutputSource(source, "1.2.3", FILM.sha256, FILM.bytes),)
    plain = door.submit({"prompt": "a heron"})
    assert isinstance(plain, JobSubmitted)
    assert (plain.submission.media, plain.outputs) == (0, ())


def test_an_upload_that_is_named_is_kept_on(world: World, door: KafkaDoor | HttpDoor) -> None:
    upload = world.upload()
    before = world.table.rows[upload.removeprefix("upload:")].expires_ms
    assert isinstance(door.submit({"clip": upload}), JobSubmitted)
    assert world.table.rows[upload.removeprefix("upload:")].expires_ms > before + 80_000_000


def sentence(fault: MediaFault, path: str = "inputs.clip", **said: object) -> str:
    return f"{path}: {SENTENCES[fault].format(**said)}"


SECRET = "heron"
HOST = "expected a host and port that can be reached from the public internet"
TEXTS: list[tuple[str, str]] = [
    (SECRET, sentence(MediaFault.NAME)),
    ("", sentence(MediaFault.NAME)),
    ("upload:heron", sentence(MediaFault.NAME)),
    ("upload:u-" + "A" * 32, sentence(MediaFault.NAME)),
    (f"job:{DONE}", sentence(MediaFault.NAME)),
    (f"job:{DONE}/../heron", sentence(MediaFault.NAME)),
    (f"job:{DONE}/{MANIFEST_NAME}", sentence(MediaFault.NAME)),
    ("file:///heron", sentence(MediaFault.NAME)),
    ("data:video/mp4;base64,heron", sentence(MediaFault.NAME)),
    ("https://" + "a" * 2_048, sentence(MediaFault.NAME)),
    ("upload:u-" + "0" * 32, sentence(MediaFault.UPLOAD)),
    (f"job:{job_of(99)}/film.mp4", sentence(MediaFault.JOB)),
    (f"job:{RUNNING}/film.mp4", sentence(MediaFault.JOB_NOT_SUCCEEDED, found="started")),
    (f"job:{ERASED}/film.mp4", sentence(MediaFault.JOB_NOT_SUCCEEDED, found="erased")),
    (f"job:{DONE}/heron.mp4", sentence(MediaFault.OUTPUT)),
    (f"job:{EMPTY}/film.mp4", sentence(MediaFault.OUTPUT)),
    (f"job:{LOST}/film.mp4", sentence(MediaFault.RESULT, found="gone")),
    (f"job:{LIED}/film.mp4", sentence(MediaFault.RESULT, found="damaged")),
    (f"job:{DONE}/big", sentence(MediaFault.SIZE, most=1_000, found=1_001)),
    ("http://example.com/heron", "inputs.clip: expected a URL that begins with https://, found another"),
    ("https://heron:pass@example.com/", "inputs.clip: expected a URL without user and password"),
    ("https://example.com:8443/heron", f"inputs.clip: {HOST}"),
    ("https://10.0.0.7/heron", f"inputs.clip: {HOST}"),
    ("https://169.254.169.254/heron", f"inputs.clip: {HOST}"),
    ("https://2130706433/heron", f"inputs.clip: {HOST}"),
    ("https://[::ffff:127.0.0.1]/heron", f"inputs.clip: {HOST}"),
]


@pytest.mark.parametrize(("text", "said"), TEXTS)
def test_what_cannot_be_prepared_is_refused_in_a_sentence_without_the_senders_words(
    door: KafkaDoor | HttpDoor, text: str, said: str
) -> None:
    found = door.submit({"clip": text})
    assert isinstance(found, str)
    assert found.startswith(said)
    assert SECRET not in found


@pytest.mark.parametrize("state", ["pending", "failed", "deleted", "expired"])
def test_an_upload_that_is_not_ready_is_refused(world: World, door: KafkaDoor | HttpDoor, state: str) -> None:
    upload = world.upload("ready" if state == "expired" else state)
    if state == "expired":
        world.table.now_ms += 60_000
    assert door.submit({"clip": upload}) == sentence(MediaFault.UPLOAD_NOT_READY, found=state)


def test_what_is_another_tenants_is_not_there(world: World, door: KafkaDoor | HttpDoor) -> None:
    assert door.submit({"clip": world.upload()}, tenant="other") == sentence(MediaFault.UPLOAD)
    assert door.submit({"clip": f"job:{DONE}/film.mp4"}, tenant="other") == sentence(MediaFault.JOB)


def test_an_upload_larger_than_the_field_takes_is_refused(world: World, door: KafkaDoor | HttpDoor) -> None:
    found = door.submit({"clip": world.upload(bytes=1_001)})
    assert found == sentence(MediaFault.SIZE, most=1_000, found=1_001)
    assert isinstance(door.submit({"stills": [world.upload(bytes=1_001)]}), JobSubmitted)


def test_a_place_in_a_list_is_named(world: World, door: KafkaDoor | HttpDoor) -> None:
    found = door.submit({"stills": [world.upload(), SECRET]})
    assert found == sentence(MediaFault.NAME, "inputs.stills[1]")


def test_no_more_than_a_few_are_named(world: World, door: KafkaDoor | HttpDoor) -> None:
    upload = world.upload()
    assert isinstance(door.submit({"clip": upload, "stills": [upload] * (MEDIA_MAX - 1)}), JobSubmitted)
    found = door.submit({"clip": upload, "stills": [upload] * MEDIA_MAX})
    assert found == sentence(MediaFault.COUNT, "inputs", found=MEDIA_MAX + 1)


def test_the_schema_is_asked_first(door: KafkaDoor | HttpDoor) -> None:
    found = door.submit({"clip": 7})
    assert isinstance(found, str)
    assert "schema" in found


def test_while_the_store_is_away_nobody_is_refused(world: World, door: KafkaDoor | HttpDoor) -> None:
    with world.store.faulty(away=True):
        assert door.submit({"clip": f"job:{DONE}/film.mp4"}) == "away"
        assert isinstance(door.submit({"clip": world.upload()}), JobSubmitted), "which asks no store"


def test_what_was_let_in_once_is_let_in_again_whatever_became_of_its_media(
    world: World, door: KafkaDoor | HttpDoor
) -> None:
    door.known = True
    found = door.submit({"clip": world.upload("deleted")})
    assert found == "known" or (isinstance(found, JobSubmitted) and found.submission.media == 1)
