"""Media that a submission names, over HTTP on real servers: an upload and an output of another job."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from contract.codec import decode_input
from contract.inputs import JobSubmitted
from contract.media import OutputSource
from registry import publishing
from runtime.kafka import Record
from runtime.object_store import ObjectStore
from tests.integration.api.conftest import Caller, CallerFactory, Views
from tests.integration.api.results import VIDEO, run_with
from tests.unit.registry.samples import MODEL_YAML, write_model

MEDIA = (
    "    prompt: {type: string}\n    clip: {type: string, format: video, media: {frames_max: 48, bytes_max: 1000}}\n"
)
FRAME = "    still: {type: string, format: image}\n"
PROMPT = "    prompt: {type: string, maxLength: 100}\n"
CLIP = b"not really a clip"


@pytest.fixture(scope="session")
def edit(
    engine: Engine, store: ObjectStore, published: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A model that takes media, relayed."""
    yaml = MODEL_YAML.replace("name: echo", "name: edit").replace("  required: [prompt]\n", "")
    directory = write_model(tmp_path_factory.mktemp("edit") / "edit", yaml=yaml.replace(PROMPT, MEDIA + FRAME))
    publishing.publish(directory, engine=engine, store=store, who="tests", pool="main", alias="live")
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE registry.outbox SET published_at = clock_timestamp() WHERE model = :m"), {"m": "edit"}
        )
    return "edit"


def uploaded(caller: Caller) -> str:
    said = {"bytes": len(CLIP), "sha256": hashlib.sha256(CLIP).hexdigest()}
    upload = str(caller.http.post("/v1/uploads", json=said).json()["upload"]["upload"])
    assert caller.http.put(f"/v1/uploads/{upload}/data", content=CLIP).status_code == 200
    assert caller.http.post(f"/v1/uploads/{upload}/complete").status_code == 200
    return upload


def test_media_are_counted_and_outputs_resolved_in_the_record(
    edit: str, caller: Caller, views: Views, store: ObjectStore, written: Callable[[], list[Record]]
) -> None:
    job, _ = run_with(views, store, caller)
    upload, source = uploaded(caller), f"job:{job}/clip.mp4"
    inputs = {"prompt": "a heron", "clip": source, "still": f"upload:{upload}"}
    accepted = caller.submit(model=edit, inputs=inputs)
    assert accepted.status_code == 202, accepted.text
    records = [decode_input(record.value) for record in written()]
    (record,) = [
        one for one in records if isinstance(one, JobSubmitted) and one.submission.job == accepted.json()["job"]
    ]
    assert record.submission.media == 2
    (output,) = record.outputs
    assert output == OutputSource(source, output.dispatch, hashlib.sha256(VIDEO).hexdigest(), len(VIDEO))


def test_what_is_not_there_or_another_tenants_is_refused_in_a_sentence(
    edit: str, caller: Caller, caller_of: CallerFactory, views: Views, store: ObjectStore
) -> None:
    other = caller_of()
    job, _ = run_with(views, store, other)
    for clip, code in (
        (f"upload:{uploaded(other)}", "media-upload-unknown"),
        (f"job:{job}/clip.mp4", "media-job-unknown"),
        ("https://127.0.0.1/clip.mp4", "media-url-refused"),
        ("clip.mp4", "media-name-invalid"),
    ):
        answer = caller.submit(model=edit, inputs={"clip": clip})
        assert (answer.status_code, answer.json()["type"]) == (422, f"urn:headrace:problem:{code}"), answer.text
        assert answer.json()["path"] == "inputs.clip"


def test_the_same_key_finds_its_job_when_its_upload_is_gone(edit: str, caller: Caller) -> None:
    upload = uploaded(caller)
    first = caller.submit(model=edit, inputs={"clip": f"upload:{upload}"}, key="mine")
    assert first.status_code == 202, first.text
    caller.http.delete(f"/v1/uploads/{upload}")
    again = caller.submit(model=edit, inputs={"clip": f"upload:{upload}"}, key="mine")
    assert (again.status_code, again.json()["job"]) == (200, first.json()["job"])
    assert caller.submit(model=edit, inputs={"clip": f"upload:{upload}"}).status_code == 422


def test_a_model_says_what_may_be_sent(edit: str, caller: Caller, tmp_path: Path) -> None:
    (version,) = caller.http.get("/v1/models/edit").json()["versions"]
    assert version["media"]["clip"]["limits"]["frames_max"] == 48
    assert version["media"]["still"]["takes"].startswith("image, at most 200 MB")
