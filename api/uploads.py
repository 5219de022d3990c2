"""/v1/uploads: media that a tenant brings, before a job names them.

Theory of operation. The client says how long its file is, and gets pieces to send: each to the object store by a link
that takes just so many bytes, or through this API. `complete` looks at what the store has, and only then is the upload
ready. To another tenant it is not there. Whatever was interrupted goes on: GET says which pieces have arrived, and each
step may be done again.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from functools import partial
from typing import TypeVar

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from api import upload_bytes
from api.callers import authenticate
from api.guard import ENDS
from api.operations import TEXT, in_path, operation, query
from api.problems import RETRY_AFTER_S, Problem
from api.replies import location, parameters, reply
from api.request_body import decode, read_body
from api.resources import Resources, resources_of
from api.streamed_body import blocks_of
from api.upload_bodies import UploadBody, UploadDetail, UploadList, UploadRequest
from api.upload_bytes import PART_BYTES, WHOLE_BYTES_MAX, NotArrived, OtherBytes, PiecePlace
from contract.media import BYTES_MAX
from operations import upload_sweep
from registry import uploads
from registry.keys import Key
from registry.uploads import QuotaSpent, Upload, UploadQuota, UploadState
from runtime.object_store import UNAVAILABLE, Missing, ObjectStore

log = structlog.get_logger(__name__)

REQUEST_BYTES_MAX = 1_024
PAGE_DEFAULT = 50
_SHA256 = re.compile("[0-9a-f]{64}")
_NUMBER = re.compile("[0-9]{1,9}")
_decoder = msgspec.json.Decoder(UploadRequest)

T = TypeVar("T")


@operation(
    "POST",
    "/v1/uploads",
    "Bring a file: say how long it is. The answer says what to send, and where.",
    {201: UploadDetail},
    problems=(400, 403, 408, 413, 415, 422, 503),
    body=UploadRequest,
)
async def create_upload(request: Request) -> Response:
    resources = resources_of(request)
    key = await authenticate(request)
    parameters(request)
    asked = decode(_decoder, await read_body(request, REQUEST_BYTES_MAX))
    _check(key, asked)
    settings = resources.settings
    quota = UploadQuota(settings.uploads_each_max, settings.upload_bytes_each_max)
    try:
        row = await resources.write(
            uploads.create, key.tenant, asked.bytes, asked.sha256, settings.upload_kept_s, quota
        )
    except QuotaSpent as spent:
        raise Problem(429, "too-many-uploads", str(spent)) from None
    if row.bytes > WHOLE_BYTES_MAX:  # the row comes first: no parts lie in the store without one
        parts = await _answered(resources.in_store(resources.store.begin_parts, upload_bytes.key_of(row)))
        row = await resources.write(uploads.note_parts, key.tenant, row.upload, parts, PART_BYTES)
    return reply(await _detail(resources, row), 201, {"Location": location(request, row.upload)})


@operation(
    "GET",
    "/v1/uploads",
    "Your uploads, newest first.",
    {200: UploadList},
    parameters=(
        query(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": uploads.PAGE_MAX, "default": PAGE_DEFAULT},
            "Uploads a page.",
        ),
        query("cursor", TEXT, "The `cursor` of the page before."),
    ),
)
async def list_uploads(request: Request) -> Response:
    key = await authenticate(request)
    given = parameters(request, "limit", "cursor")
    limit = given.get("limit", str(PAGE_DEFAULT))
    if not (_NUMBER.fullmatch(limit) and 1 <= int(limit) <= uploads.PAGE_MAX):
        raise Problem(422, "parameter-invalid", f"limit: expected 1 to {uploads.PAGE_MAX}, found {limit[:80]!r}")
    try:
        page = await resources_of(request).read(uploads.listed, key.tenant, int(limit), given.get("cursor", ""))
    except uploads.UploadCursorInvalid as error:
        raise Problem(422, "parameter-invalid", f"cursor: {error}") from None
    return reply(UploadList([UploadBody.of(row) for row in page.uploads], page.cursor))


@operation(
    "GET",
    "/v1/uploads/{upload}",
    "One upload, and which of its pieces have arrived.",
    {200: UploadDetail},
    problems=(404, 503),
    parameters=(in_path("upload"),),
)
async def get_upload(request: Request) -> Response:
    key = await authenticate(request)
    parameters(request)
    resources = resources_of(request)
    return reply(await _detail(resources, await _own(request, key)))


@operation(
    "PUT",
    "/v1/uploads/{upload}/data",
    "Send the file, or one piece of it, through the API: where the object store takes nothing from users.",
    {200: UploadDetail},
    problems=(400, 404, 408, 409, 422, 503),
    parameters=(in_path("upload"), query("part", {"type": "integer", "minimum": 1}, "Which piece. Without: the file.")),
    body="application/octet-stream",
)
async def put_upload_data(request: Request) -> Response:
    key = await authenticate(request)
    given = parameters(request, "part")
    resources = resources_of(request)
    row = _pending(await _own(request, key))
    places = upload_bytes.places_of(row)
    if "part" in given:
        number = int(given["part"]) if _NUMBER.fullmatch(given["part"]) else 0
        if not 1 <= number <= len(places):
            raise Problem(422, "parameter-invalid", f"part: expected 1 to {len(places)}, found {given['part'][:80]!r}")
        places = places[number - 1 : number]
    _take_turn(request, resources, key)
    if row.parts:
        await _receive_parts(request, resources, row, places)
    else:
        await _receive_whole(request, resources, row)
    return reply(await _detail(resources, row))


@operation(
    "POST",
    "/v1/uploads/{upload}/complete",
    "Everything was sent: look at it. From then on a job may name the upload.",
    {200: UploadBody},
    problems=(404, 409, 422, 503),
    parameters=(in_path("upload"),),
)
async def complete_upload(request: Request) -> Response:
    key = await authenticate(request)
    parameters(request)
    resources = resources_of(request)
    row = await _own(request, key)
    if row.state == UploadState.READY:
        return reply(UploadBody.of(row))
    _pending(row)
    try:
        found = await _answered(resources.in_uploads(upload_bytes.joined, resources.store, row))
    except NotArrived as error:
        raise Problem(
            409,
            "upload-incomplete",
            f"expected all pieces of the upload, found none of {len(error.parts)} pieces; send them, and complete"
            f" again (GET /v1/uploads/{row.upload} says where)",
            missing=error.parts,
        ) from None
    except OtherBytes as error:
        ended = await resources.write(uploads.end, key.tenant, row.upload, UploadState.FAILED, str(error))
        if ended is not None and await _empty(resources, ended):
            await resources.write(uploads.note_emptied, row.upload)
        raise Problem(
            422, "upload-other-bytes", f"{error}; the upload has failed: create another one", upload=row.upload
        ) from None
    ready = await resources.write(
        uploads.make_ready, key.tenant, row.upload, found.sha256, resources.settings.upload_kept_s
    )
    if ready is None:  # somebody else has completed it, or ended it meanwhile
        row = await _own(request, key)
        if row.state != UploadState.READY:
            await _empty(resources, row)
            raise _ended(row)
        ready = row
    return reply(UploadBody.of(ready))


@operation(
    "DELETE",
    "/v1/uploads/{upload}",
    "Remove the upload. What jobs have prepared of it stays theirs.",
    {200: UploadBody},
    problems=(404,),
    parameters=(in_path("upload"),),
)
async def delete_upload(request: Request) -> Response:
    key = await authenticate(request)
    parameters(request)
    resources = resources_of(request)
    row = await _own(request, key)
    ended = await resources.write(uploads.end, key.tenant, row.upload, UploadState.DELETED, "")
    if ended is not None and await _empty(resources, ended):
        await resources.write(uploads.note_emptied, row.upload)
    return reply(UploadBody.of(ended or row))


async def _empty(resources: Resources, row: Upload) -> bool:
    """Whether everything of the upload is removed from the store. If not, the sweep goes on."""
    try:
        await resources.in_store(upload_sweep.empty, resources.store, row)
    except (*UNAVAILABLE, Problem) as error:
        log.warning("object store", upload=row.upload, found=str(error))
        return False
    return True


def _check(key: Key, asked: UploadRequest) -> None:
    if not key.tiers:
        raise Problem(403, "no-tier", "this key has no tier, so it may upload nothing; ask your operator for one")
    if not 1 <= asked.bytes <= BYTES_MAX:
        raise Problem(
            422, "body-invalid", f"$.bytes: expected 1 to {BYTES_MAX}, found another number", bytes_max=BYTES_MAX
        )
    if asked.sha256 and not _SHA256.fullmatch(asked.sha256):
        raise Problem(422, "body-invalid", "$.sha256: expected 64 hexadecimal digits in small letters, found others")


async def _own(request: Request, key: Key) -> Upload:
    """The upload that the path names. Problem 404 when the tenant has none such."""
    row = await resources_of(request).read(uploads.of, key.tenant, request.path_params["upload"])
    if row is None:
        raise Problem(404, "unknown-upload", "you have no upload with this id; GET /v1/uploads lists yours")
    return row


def _pending(row: Upload) -> Upload:
    """Problem 409 for an upload that takes no bytes any more."""
    if row.state != UploadState.PENDING:
        raise _ended(row)
    return row


def _ended(row: Upload) -> Problem:
    why = f" ({row.reason})" if row.reason else ""
    return Problem(
        409,
        "upload-not-pending",
        f"expected an upload that is pending, found one that is {row.state}{why}; create another one",
        state=row.state,
    )


async def _detail(resources: Resources, row: Upload) -> UploadDetail:
    if row.state != UploadState.PENDING:
        return UploadDetail(UploadBody.of(row), [])
    links = resources.settings.upload_links
    pieces = await _answered(resources.in_store(upload_bytes.pieces_of, resources.store, row, links=links))
    return UploadDetail(UploadBody.of(row), pieces)


# -- bytes that come through this API ----------------------------------------------------------------------------------


def _take_turn(request: Request, resources: Resources, key: Key) -> None:
    """Until the request ends. Problem 429 or 503: each such request has a block in memory."""
    if not resources.senders.take(key.tenant):
        raise Problem(
            429,
            "too-many-requests",
            "as many pieces of yours as one tenant may send through the API at once are on their way: send this one"
            " again when one has arrived",
            retry_after_s=RETRY_AFTER_S,
        )
    request.scope[ENDS].append(partial(resources.senders.give_back, key.tenant))
    if not resources.all_senders.take(""):
        raise Problem(
            503,
            "busy",
            "this API takes as many pieces at once as it can: send this one again in a moment",
            retry_after_s=RETRY_AFTER_S,
        )
    request.scope[ENDS].append(partial(resources.all_senders.give_back, ""))


async def _receive_parts(request: Request, resources: Resources, row: Upload, places: list[PiecePlace]) -> None:
    """Pieces that follow one another in the body. Each that has come whole stays, whatever becomes of the rest."""
    size = sum(place.bytes for place in places)
    left = iter(places)
    async for block in blocks_of(request, size, row.part_bytes):
        await _put_part(resources, row, row.parts, next(left).part, block)


async def _receive_whole(request: Request, resources: Resources, row: Upload) -> None:
    """A file in one piece. Larger ones go to the store in parts all the same, which become the object at the end."""
    key = upload_bytes.key_of(row)
    if row.bytes <= PART_BYTES:
        async for block in blocks_of(request, row.bytes, PART_BYTES):
            if not await _answered(resources.in_store(resources.store.put, key, block, if_absent=True)):
                raise _is_there()
        return
    if await _answered(resources.in_store(resources.store.exists, key)):
        raise _is_there()
    parts = await _answered(resources.in_store(resources.store.begin_parts, key))
    try:
        number = 0
        async for block in blocks_of(request, row.bytes, PART_BYTES):
            number += 1
            await _put_part(resources, row, parts, number, block)
        await _answered(resources.in_store(_joined, resources.store, key, parts))
    except BaseException:  # whatever ended it, a client that went away too
        await _abort(resources, key, parts)
        raise


async def _put_part(resources: Resources, row: Upload, parts: str, number: int, block: bytes) -> None:
    try:
        key = upload_bytes.key_of(row)
        await _answered(resources.in_store(resources.store.put_part, key, parts, number, block))
    except Missing:
        raise _ended(msgspec.structs.replace(row, state="ended")) from None


async def _abort(resources: Resources, key: str, parts: str) -> None:
    try:
        await resources.in_store(resources.store.abort_parts, key, parts)
    except (*UNAVAILABLE, Problem) as error:
        log.warning("object store", found=str(error))  # the sweep finds them when the upload has ended


def _is_there() -> Problem:
    return Problem(
        409,
        "upload-has-data",
        "expected an upload whose bytes have not arrived, found one that has them: complete it, or delete it and"
        " create another one",
    )


def _joined(store: ObjectStore, key: str, parts: str) -> None:
    store.join_parts(key, parts, store.arrived_parts(key, parts))


async def _answered(asking: Awaitable[T]) -> T:
    """What the store answers. Problem 503 while it does not do what it is asked."""
    try:
        return await asking
    except UNAVAILABLE as error:
        log.warning("object store", found=str(error))
        raise Problem(
            503, "store-unavailable", "the object store did not answer: try again", retry_after_s=RETRY_AFTER_S
        ) from None
