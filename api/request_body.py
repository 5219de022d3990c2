"""A JSON body: read up to its limit, and decoded with the place of its first fault."""

from __future__ import annotations

import asyncio
import re
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from api.problems import Problem
from contract.bounds import DEPTH_MAX

T = TypeVar("T")

JSON_TYPES = re.compile(r"|application/(json|[a-z0-9!#$&^_.-]+\+json)")
"""A request without a Content-Type is taken too."""
FORM_TYPE = "application/x-www-form-urlencoded"
"""What curl claims for `-d` when nobody tells it another type."""
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]*)", re.IGNORECASE)
BODY_S = 30.0
"""A body that is not there by then keeps a request, and its share, for nothing."""
DIGITS_MAX = 20
CHARSETS = ("utf-8", "utf8", "us-ascii")


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The bytes of the body. Problem 413 once there are more than `bytes_max`, 415 when the request claims something
    else than JSON in UTF-8. A body that is claimed to be a form is taken if it is a JSON object all the same."""
    claim = request.headers.get("Content-Type", "")
    media_type = claim.partition(";")[0].strip().lower()
    if not JSON_TYPES.fullmatch(media_type) and media_type != FORM_TYPE:
        raise _no_json(media_type)
    charset = _CHARSET.search(claim)
    if charset and charset[1].lower() not in CHARSETS:
        raise Problem(415, "not-utf-8", f"expected JSON in UTF-8, found charset {charset[1][:80]!r}; send it as UTF-8")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "encoded-body", "expected a body without Content-Encoding, found one; send it plain")
    claimed = request.headers.get("Content-Length", "")
    if claimed.isdecimal() and (len(claimed) > DIGITS_MAX or int(claimed) > bytes_max):
        raise _too_large(bytes_max)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise _too_large(bytes_max)
    except TimeoutError:
        raise Problem(
            408,
            "body-too-slow",
            f"expected the whole body within {BODY_S:.0f} s, found a part of it; send it again",
            headers={"Connection": "close"},
        ) from None
    except ClientDisconnect:
        raise Problem(400, "body-cut-off", "the connection ended before the body did; send it again") from None
    if media_type == FORM_TYPE and not body.lstrip(b" \t\r\n").startswith(b"{"):
        raise _no_json(media_type)
    return bytes(body)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Problem 400 with the position when the body is not JSON, 422 with the path when it has another form."""
    try:
        body.decode()  # the decoder does not look at text that it keeps raw
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Problem(422, "body-invalid", f"{error}; /openapi.json has the form of the body") from None
    except RecursionError:
        raise Problem(422, "body-invalid", f"expected lists and objects at most {DEPTH_MAX} deep, found more") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if _HALF_PAIR.search(_PAIR.sub(b"", body)):
            raise Problem(
                422,
                "body-invalid",
                "expected JSON of whole characters, found half a surrogate pair (\\ud800 to \\udfff)",
            ) from None
        raise _malformed(error) from None


def _no_json(media_type: str) -> Problem:
    return Problem(
        415, "not-json", f"expected a JSON object as Content-Type application/json, found {media_type[:80]!r}"
    )


def _malformed(error: msgspec.DecodeError | UnicodeDecodeError) -> Problem:
    if isinstance(error, UnicodeDecodeError):
        found = f"bytes that are not UTF-8 (byte {error.start})"
    else:
        found = str(error)
    return Problem(400, "malformed-json", f"expected JSON, found: {found}")


def _too_large(bytes_max: int) -> Problem:
    return Problem(
        413,
        "body-too-large",
        f"expected at most {bytes_max} bytes, found more; put large inputs in files and send their URLs",
        bytes_max=bytes_max,
        headers={"Connection": "close"},
    )
