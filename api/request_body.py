"""A JSON body, read no further than allowed and decoded with the place of its first fault."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from api.problems import Problem

T = TypeVar("T")


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The body's bytes. Problem 413 once there are more than `bytes_max`, 415 when it does not claim to be JSON."""
    media_type = request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(415, "not-json", f"expected Content-Type application/json, found {media_type[:80]!r}")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "encoded-body", "expected a body without Content-Encoding, found one; send it plain")
    claimed = request.headers.get("Content-Length", "")
    if claimed.isdecimal() and int(claimed) > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > bytes_max:
                raise _too_large(bytes_max)
    except ClientDisconnect:
        raise Problem(400, "body-cut-off", "the connection ended before the body did; send it again") from None
    return bytes(body)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Problem 400 when it is no JSON (with the position), 422 when it is not of the expected form (with the path)."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Problem(422, "body-invalid", f"{error}; /openapi.json has the form of the body") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None


def decode_any(raw: bytes | msgspec.Raw) -> Any:
    """Any JSON value. Problem 400 when it is none."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None


def not_json(error: Exception) -> Problem:
    if isinstance(error, msgspec.DecodeError):
        found = str(error)
    elif isinstance(error, UnicodeDecodeError):
        found = f"bytes that are not UTF-8 (byte {error.start})"
    else:
        found = "values nested too deeply"
    return Problem(400, "malformed-json", f"expected JSON, found: {found}")


def _too_large(bytes_max: int) -> Problem:
    return Problem(
        413,
        "body-too-large",
        f"expected at most {bytes_max} bytes, found more; put large inputs in files and send their URLs",
        bytes_max=bytes_max,
        headers={"Connection": "close"},
    )
