"""The media that a submission names, checked before it is let in: the same at both doors.

Theory of operation. The version's schema says which fields take media (registry.schemas.media), and has let the inputs
pass, so a value there is a text. `named_in` reads the texts; `look_up` asks the database whose the uploads and jobs
are; `outputs_of` reads from the result that the ledger accepted where the outputs of other jobs lie, because a CPU
worker can ask no database. A refusal is a sentence in our words, which quotes nothing that the sender wrote: the door
of Kafka keeps refusals where operators read them. What belongs to another tenant is what is not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection

from contract.codec import Malformed, decode_result
from contract.lifecycle import JobState
from contract.media import EXPECTED, MEDIA_MAX, MediaName, OutputName, OutputSource, UploadName, UrlName, read_name
from contract.results import (
    EMPTY_MANIFEST,
    MANIFEST_NAME,
    RESULT_MANIFEST_BYTES_MAX,
    ResultFile,
    attempt_prefix,
)
from registry import uploads
from registry.schemas.faults import path_of
from registry.schemas.media import MediaField
from runtime.egress.named import check_named_url
from runtime.egress.policy import EgressPolicy
from runtime.egress.refusal import EgressRefused
from runtime.object_store import Missing, ObjectStore, OtherSize


class MediaFault(StrEnum):
    """Every reason for which a door refuses media."""

    NAME = "media-name-invalid"
    COUNT = "media-too-many"
    URL = "media-url-refused"
    UPLOAD = "media-upload-unknown"
    UPLOAD_NOT_READY = "media-upload-not-ready"
    JOB = "media-job-unknown"
    JOB_NOT_SUCCEEDED = "media-job-not-succeeded"
    OUTPUT = "media-output-unknown"
    RESULT = "media-result-gone"
    SIZE = "media-too-large"


SENTENCES: Mapping[MediaFault, str] = {
    MediaFault.NAME: f"{EXPECTED}, found another text",
    MediaFault.COUNT: f"expected at most {MEDIA_MAX} media in one submission, found {{found}}",
    MediaFault.URL: "{found}",
    MediaFault.UPLOAD: "expected an upload of yours, found none with this id; `headrace uploads list` shows yours",
    MediaFault.UPLOAD_NOT_READY: "expected an upload that is ready, found one that is {found}",
    MediaFault.JOB: "expected a job of yours, found none with this id; `headrace jobs list` shows yours",
    MediaFault.JOB_NOT_SUCCEEDED: "expected a job that has succeeded, found one that is {found}",
    MediaFault.OUTPUT: "expected an output that the job has made, found none with this name; `headrace jobs get`"
    " shows them",
    MediaFault.RESULT: "expected the result of the job, found that it is {found}",
    MediaFault.SIZE: "expected a file of at most {most} bytes, found one of {found}",
}


class MediaNameRefused(Exception):
    """The submission is not let in."""

    def __init__(self, fault: MediaFault, path: str, **said: object) -> None:
        self.fault = fault
        self.path = path
        """`inputs.clip`, or `inputs.frames[2]`."""
        self.sentence = SENTENCES[fault].format(**said)
        super().__init__(f"{path}: {self.sentence}")


class NamedMedium(NamedTuple):
    path: str
    text: str
    """As the submission has it."""
    name: MediaName
    field: MediaField


class SourceJob(Protocol):
    """A job whose output is named, as the views know it: views.rows.JobRow."""

    @property
    def state(self) -> str: ...
    @property
    def erasure(self) -> str: ...
    @property
    def result_dispatch(self) -> str: ...
    @property
    def result_manifest(self) -> str: ...


JobOf = Callable[[Connection, str, str], SourceJob | None]
"""(connection, tenant, job): None when the tenant has no such job (views.queries.job)."""


def named_in(fields: Mapping[str, MediaField], inputs: Any, policy: EgressPolicy) -> tuple[NamedMedium, ...]:
    """The media of inputs that fit the schema, in the order of fields and places. MediaNameRefused."""
    texts = list(_texts(fields, inputs))
    if len(texts) > MEDIA_MAX:
        raise MediaNameRefused(MediaFault.COUNT, "inputs", found=len(texts))
    return tuple(_read(path, text, field, policy) for path, text, field in texts)


def look_up(
    connection: Connection, tenant: str, named: Sequence[NamedMedium], kept_s: int, job_of: JobOf
) -> dict[str, SourceJob]:
    """The jobs whose outputs are named, by id. Uploads that are named are kept on for `kept_s`: the caller commits.
    MediaNameRefused."""
    _require_uploads(connection, tenant, named, kept_s)
    found: dict[str, SourceJob] = {}
    for each in named:
        if isinstance(each.name, OutputName):
            job = found.get(each.name.job) or job_of(connection, tenant, each.name.job)
            if job is None:
                raise MediaNameRefused(MediaFault.JOB, each.path)
            if job.erasure or job.state != JobState.SUCCEEDED:
                raise MediaNameRefused(
                    MediaFault.JOB_NOT_SUCCEEDED, each.path, found="erased" if job.erasure else job.state
                )
            found[each.name.job] = job
    return found


def outputs_of(
    store: ObjectStore, named: Sequence[NamedMedium], jobs: Mapping[str, SourceJob]
) -> tuple[OutputSource, ...]:
    """Where each output lies that is named, once. MediaNameRefused; StoreFault when nobody can tell."""
    results: dict[str, dict[str, ResultFile]] = {}
    found: dict[str, OutputSource] = {}
    for each in named:
        if not isinstance(each.name, OutputName):
            continue
        job = each.name.job
        if job not in results:
            results[job] = _files_of(store, job, jobs[job], each.path)
        file = results[job].get(each.name.name)
        if file is None:
            raise MediaNameRefused(MediaFault.OUTPUT, each.path)
        _require_size(each, file.bytes)
        found[each.text] = OutputSource(each.text, jobs[job].result_dispatch, file.sha256, file.bytes)
    return tuple(found.values())


def _texts(fields: Mapping[str, MediaField], inputs: Any) -> Iterator[tuple[str, str, MediaField]]:
    if not isinstance(inputs, dict):
        return
    for name, field in fields.items():
        if name not in inputs:
            continue
        value = inputs[name]
        for place, text in enumerate(value if field.is_list and isinstance(value, list) else [value]):
            yield path_of(["inputs", name, *([place] if field.is_list else [])]), text, field


def _read(path: str, text: Any, field: MediaField, policy: EgressPolicy) -> NamedMedium:
    name = read_name(text) if isinstance(text, str) else None
    if name is None:
        raise MediaNameRefused(MediaFault.NAME, path)
    if isinstance(name, UrlName):
        try:
            check_named_url(name.url, policy)
        except EgressRefused as refused:
            raise MediaNameRefused(MediaFault.URL, path, found=refused) from None
    return NamedMedium(path, text, name, field)


def _require_uploads(connection: Connection, tenant: str, named: Iterable[NamedMedium], kept_s: int) -> None:
    asked = [(each, each.name.upload) for each in named if isinstance(each.name, UploadName)]
    if not asked:
        return
    ready = uploads.name(connection, tenant, [upload for _, upload in asked], kept_s)
    for each, upload in asked:
        if upload not in ready:
            state = uploads.states(connection, tenant, [upload]).get(upload)
            if state is None:
                raise MediaNameRefused(MediaFault.UPLOAD, each.path)
            is_over = state == uploads.UploadState.READY
            raise MediaNameRefused(MediaFault.UPLOAD_NOT_READY, each.path, found="expired" if is_over else state)
        _require_size(each, ready[upload])


def _require_size(named: NamedMedium, found: int) -> None:
    if found > named.field.rule.bytes_max:
        raise MediaNameRefused(MediaFault.SIZE, named.path, most=named.field.rule.bytes_max, found=found)


def _files_of(store: ObjectStore, job: str, source: SourceJob, path: str) -> dict[str, ResultFile]:
    if source.result_manifest == EMPTY_MANIFEST:
        return {}
    try:
        raw = store.get(attempt_prefix(job, source.result_dispatch) + MANIFEST_NAME, RESULT_MANIFEST_BYTES_MAX)
        manifest = decode_result(raw)
    except Missing:
        raise MediaNameRefused(MediaFault.RESULT, path, found="gone") from None
    except (Malformed, OtherSize):
        raise MediaNameRefused(MediaFault.RESULT, path, found="damaged") from None
    if "sha256:" + hashlib.sha256(raw).hexdigest() != source.result_manifest or manifest.job != job:
        raise MediaNameRefused(MediaFault.RESULT, path, found="damaged")
    return {file.name: file for file in manifest.files}
