"""What the object store's library raises, in our words: a store that is away, or that refuses.

Nothing behind runtime.object_store sees an exception of boto3. Every answer that the library cannot read is a store
that is away, so a broken proxy between us and the store is an outage like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from boto3.exceptions import Boto3Error, RetriesExceededError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from contract.bounds import visible

SERVER_ERRORS = range(500, 600)
NOT_IMPLEMENTED = 501
BUSY_CODES = frozenset({"SlowDown", "Throttling", "RequestTimeout", "TooManyRequests", "429", "408"})
"""Answers of 4xx that say: later."""
MISSING_CODES = frozenset({"NoSuchKey", "404", "NotFound"})
INVALID_RANGE = "InvalidRange"
DENIED = "AccessDenied"
DENIED_CODES = frozenset({DENIED, "403", "Forbidden"})
"""The login has no right to that. An answer without a body has the number only."""

_CODE = re.compile(r"[A-Za-z0-9._-]{1,60}")
"""What is repeated of a store's answer. Its message is not: the message may quote a key."""

KEY_CHARACTERS_MAX = 300
"""What is repeated of a key in a message."""

CHECKSUMS_TODO = "a store that is not Amazon's may need HEADRACE_S3_CHECKSUMS=when_required; `headrace doctor` tries it"


class Missing(KeyError):
    """No object has this key."""


class StoreFault(Exception):
    """The store did not do what it was asked. Another try may succeed. The message says what the store answered."""


class StoreAway(StoreFault):
    """The store was not reached, did not answer in time, or answered that it cannot do this now."""


class StoreRefuses(StoreFault):
    """The store answered that it does not do this: a right or a setting is missing, or the store cannot do it."""

    def __init__(self, message: str, *, status: int = 0, code: str = "") -> None:
        """`status`, `code`: of the answer."""
        super().__init__(message)
        self.status = status
        self.code = code


class OtherSize(StoreFault):
    """The store sends other than what was stored there: more bytes or keys than expected, or fewer. What it sent is
    not used."""

    def __init__(self, key: str, expected: str, found: str) -> None:
        super().__init__(
            f"expected {expected} at {visible(key)[:KEY_CHARACTERS_MAX]} in the object store, found {found}:"
            " the store or somebody who writes into it changed what was stored"
        )


def is_away(error: BaseException) -> bool:
    """Whether the store was not reached, or refused the request: another try may succeed."""
    return isinstance(error, StoreFault | ConnectionError | TimeoutError)


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def in_our_words(key: str = "") -> Iterator[None]:
    """Raises Missing, StoreAway or StoreRefuses for what the library raises within the block. What a source raises
    while it is read passes, and so does an OSError of our own disk."""
    try:
        yield
    except ClientError as error:
        raise _of_answer(error, key) from None
    except RetriesExceededError as error:
        raise StoreAway(f"the object store does not answer ({type(error.last_exception).__name__})") from None
    except Boto3Error as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ClientError):
            raise _of_answer(cause, key) from None
        raise StoreAway(f"the object store does not answer ({type(error).__name__})") from None
    except ParamValidationError:
        raise  # a defect of ours
    except (NoCredentialsError, PartialCredentialsError):
        raise StoreRefuses(
            "expected credentials for the object store, found none; set HEADRACE_S3_ACCESS_KEY and"
            " HEADRACE_S3_SECRET_KEY"
        ) from None
    except (ConnectTimeoutError, ReadTimeoutError):
        raise StoreAway("the object store does not answer in time") from None
    except (BotoCoreError, ResponseParserError, HTTPException, RecursionError) as error:
        raise StoreAway(f"the object store does not answer ({type(error).__name__})") from None


def _of_answer(error: ClientError, key: str) -> Exception:
    code, status = code_of(error), _status(error)
    if key and code in MISSING_CODES:
        return Missing(key)
    said = f"{status or ''} {code if _CODE.fullmatch(code) else ''}".strip() or "an error"
    what = f"the object store answered {said} to {error.operation_name}"
    is_busy = code in BUSY_CODES or (status in SERVER_ERRORS and status != NOT_IMPLEMENTED)
    if is_busy or (not status and not code):
        return StoreAway(what)
    hint = f"; {CHECKSUMS_TODO}" if status == 400 and "Upload" not in code else ""  # Bad Request
    return StoreRefuses(what + hint, status=status, code=code)


def _status(error: ClientError) -> int:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status if isinstance(status, int) else 0
