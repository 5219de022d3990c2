"""Sources of media come to this disk: uploads, outputs of other jobs, and what a user's URL gives.

An upload and an output are whole when their sha256 is the one that was recorded, and refused otherwise. Whatever a URL
gives is fetched through the egress guard alone, and nothing of its answer is believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from contract.codec import Malformed, decode_upload_ready
from contract.media import EXPECTED, MediaName, MediaRule, OutputName, OutputSource, UploadName, UrlName, read_name
from contract.prepared import UPLOAD_DATA, UPLOAD_READY, UploadReady, upload_prefix
from contract.results import attempt_prefix
from cpu_worker.io.patient_steps import PatientSteps
from cpu_worker.rules.verdicts import PreparationOutage, PreparationRefusal
from runtime.egress.egress import Fetched, Sink
from runtime.egress.patience import IsCancelled
from runtime.egress.refusal import EgressCancelled, EgressRefused, EgressTrouble
from runtime.object_store import Missing, OtherSize
from runtime.worker.outages import SILENT, outage

READY_BYTES_MAX = 64 * 1024
READ_BYTES = 1024 * 1024
LOOKS_MAX = 3
"""How often bytes that are not what was recorded are read: the verdict is final for the job, and a transfer may have
been cut."""
URL_RESTS_S = (1.0, 4.0, 15.0)
"""Between tries of a URL whose trouble may pass. A server of a user may be away for as long as it likes: after the last
try the media are refused."""

TYPES = ("video/*", "image/*", "audio/*", "application/octet-stream", "binary/octet-stream", "application/mp4")
"""What a server may say that it sends. Stores say octet-stream of whatever nobody named; our own check decides."""

_KINDS = {EgressTrouble.SIZE: "too_large", EgressTrouble.TYPE: "not_media"}
"""Refusals of the guard that say something of the media. All others that do not pass: url_refused."""


class SourceStore(Protocol):
    """runtime.object_store.ObjectStore, as far as sources are read."""

    def get(self, key: str, bytes_max: int) -> bytes: ...
    def get_file(self, key: str, path: Path, size: int) -> None: ...


class UrlFetcher(Protocol):
    """runtime.egress.egress.Egress, as far as sources are fetched."""

    def fetch(
        self,
        url: str,
        sink: Sink,
        *,
        bytes_max: int,
        types: Sequence[str],
        whole_s: float = ...,
        is_cancelled: IsCancelled = ...,
    ) -> Fetched: ...


class MediaWanted(NamedTuple):
    """One medium that the inputs name."""

    field: str
    at: int
    """0 where the field is no list."""
    kind: str
    rule: MediaRule
    name: str
    """As the submission says it."""
    is_list: bool = False


class MediaHere(NamedTuple):
    """A source that lies on this disk."""

    path: Path
    sha256: str
    bytes: int


class MediaSources:
    """Of one preparation, for the thread that works on it."""

    def __init__(
        self,
        store: SourceStore,
        urls: UrlFetcher,
        steps: PatientSteps,
        tenant: str,
        outputs: Sequence[OutputSource],
    ) -> None:
        self._store = store
        self._urls = urls
        self._steps = steps
        self._tenant = tenant
        self._outputs = {output.source: output for output in outputs}

    def fetch(self, wanted: MediaWanted, path: Path) -> MediaHere:
        """PreparationRefusal, PreparationOutage, PreparationAbandoned, PreparationTimeOver; OSError of this disk."""
        match named(wanted):
            case UploadName(upload=upload):
                return self._fetch_upload(wanted, upload, path)
            case OutputName(job=job, name=name):
                return self._fetch_output(wanted, job, name, path)
            case UrlName(url=url):
                return self._fetch_url(wanted, url, path)

    # -- the store --------------------------------------------------------------------------------------------------

    def _fetch_upload(self, wanted: MediaWanted, upload: str, path: Path) -> MediaHere:
        prefix = upload_prefix(self._tenant, upload)
        missing = _missing(wanted, "an upload of yours that is complete and was not deleted, found none of this name")
        try:
            raw = self._steps.done("upload", lambda: self._store.get(prefix + UPLOAD_READY, READY_BYTES_MAX), _cause)
            ready: UploadReady = decode_upload_ready(raw)
        except (Missing, OtherSize, Malformed):
            raise missing from None
        if (ready.tenant, ready.upload) != (self._tenant, upload):
            raise missing
        return self._fetch_object(wanted, prefix + UPLOAD_DATA, path, ready.bytes, ready.sha256)

    def _fetch_output(self, wanted: MediaWanted, job: str, name: str, path: Path) -> MediaHere:
        output = self._outputs.get(wanted.name)
        if output is None:
            raise _missing(wanted, "an output of a job of yours that has succeeded, found none of this name")
        key = attempt_prefix(job, output.dispatch) + name
        return self._fetch_object(wanted, key, path, output.bytes, output.sha256)

    def _fetch_object(self, wanted: MediaWanted, key: str, path: Path, size: int, sha256: str) -> MediaHere:
        if size > wanted.rule.bytes_max:
            raise _too_large(wanted)
        looks = 0

        def fetch() -> MediaHere:
            self._store.get_file(key, path, size)
            found = digest_of_file(path)
            if sha256 and found != sha256:
                raise _BytesDiffer
            return MediaHere(path, found, size)

        def cause(error: Exception) -> str:
            nonlocal looks
            if isinstance(error, OtherSize | _BytesDiffer):
                looks += 1
                return SILENT if looks < LOOKS_MAX else ""
            return _cause(error)

        try:
            return self._steps.done("source", fetch, cause)
        except Missing:
            raise _missing(wanted, "a file that is still there, found that it was deleted; send it again") from None
        except (OtherSize, _BytesDiffer):
            raise PreparationRefusal(
                "damaged",
                f"inputs.{place_of(wanted)}: expected the bytes that were recorded for {wanted.name}, found others;"
                " send the file again",
            ) from None

    # -- URLs -------------------------------------------------------------------------------------------------------

    def _fetch_url(self, wanted: MediaWanted, url: str, path: Path) -> MediaHere:
        for rest_s in (*URL_RESTS_S, None):
            try:
                return self._fetch_once(wanted, url, path)
            except EgressCancelled:
                self._steps.time.look()
                raise PreparationOutage from None
            except EgressRefused as refused:
                if refused.trouble is EgressTrouble.RESOLVER and rest_s is None:
                    raise PreparationOutage from None
                if not refused.is_passing or rest_s is None:
                    raise PreparationRefusal(kind_of(refused), f"inputs.{place_of(wanted)}: {refused}") from None
                self._steps.time.rest(rest_s)
        raise AssertionError("the last try ends in one of the ways above")

    def _fetch_once(self, wanted: MediaWanted, url: str, path: Path) -> MediaHere:
        """Each try begins with an empty file: a try that ended in the middle leaves nothing to the next."""
        time = self._steps.time
        with path.open("wb") as file:
            fetched = self._urls.fetch(
                url,
                file.write,
                bytes_max=wanted.rule.bytes_max,
                types=TYPES,
                whole_s=time.left_s(),
                is_cancelled=lambda: time.is_over,
            )
        return MediaHere(path, fetched.sha256, fetched.bytes)


class _BytesDiffer(Exception):
    """The store gave other bytes than were recorded."""


def named(wanted: MediaWanted) -> MediaName:
    """PreparationRefusal for a value that names nothing."""
    name = read_name(wanted.name)
    if name is None:
        raise PreparationRefusal("bad_inputs", f"inputs.{place_of(wanted)}: {EXPECTED}, found another value")
    return name


def place_of(wanted: MediaWanted) -> str:
    """The field, as a sentence names it."""
    return f"{wanted.field}[{wanted.at}]" if wanted.is_list else wanted.field


def kind_of(refused: EgressRefused) -> str:
    """Which of MEDIA_REFUSALS a refusal of the egress guard is."""
    if refused.is_passing:
        return "unreachable"
    return _KINDS.get(refused.trouble, "url_refused")


def digest_of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(READ_BYTES):
            digest.update(data)
    return digest.hexdigest()


def _cause(error: Exception) -> str:
    """As `outage`, but other bytes than expected are no outage of the store."""
    return "" if isinstance(error, OtherSize) else outage(error)


def _missing(wanted: MediaWanted, expected: str) -> PreparationRefusal:
    return PreparationRefusal("source_missing", f"inputs.{place_of(wanted)}: expected {expected}")


def _too_large(wanted: MediaWanted) -> PreparationRefusal:
    return PreparationRefusal(
        "too_large", f"inputs.{place_of(wanted)}: expected at most {wanted.rule.bytes_max} bytes, found more"
    )
