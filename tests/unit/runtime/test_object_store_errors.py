"""Whatever the store's library raises is said in our words: away, refused, or missing."""

from __future__ import annotations

import pytest
from boto3.exceptions import RetriesExceededError, S3UploadFailedError
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    FlexibleChecksumError,
    IncompleteReadError,
    NoCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from runtime.object_store_errors import Missing, StoreAway, StoreRefuses, in_our_words, is_away


def answer(status: int, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="u"),
        ConnectTimeoutError(endpoint_url="u"),
        ReadTimeoutError(endpoint_url="u"),
        ProxyConnectionError(proxy_url="u"),
        SSLError(endpoint_url="u", error="e"),
        IncompleteReadError(actual_bytes=1, expected_bytes=2),
        ResponseStreamingError(error="e"),
        FlexibleChecksumError(error_msg="e"),
        ResponseParserError("garbage"),
        RetriesExceededError(ReadTimeoutError(endpoint_url="u")),
        S3UploadFailedError("no cause"),
        answer(503, "SlowDown"),
        answer(500, "InternalError"),
        answer(429, "TooManyRequests"),
        ClientError({}, "PutObject"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_another_try_may_mend_is_a_store_that_is_away(error: Exception) -> None:
    with pytest.raises(StoreAway) as said, in_our_words("a key"):
        raise error
    assert is_away(said.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (answer(403, "AccessDenied"), "the object store answered 403 AccessDenied to PutObject"),
        (answer(501, "NotImplemented"), "the object store answered 501 NotImplemented to PutObject"),
        (
            answer(400, "words of a user"),
            "the object store answered 400 to PutObject; a store that is not Amazon's may",
        ),
        (NoCredentialsError(), "expected credentials for the object store, found none; set HEADRACE_S3_ACCESS_KEY"),
    ],
)
def test_what_the_store_answers_is_said(error: Exception, said: str) -> None:
    with pytest.raises(StoreRefuses) as refused, in_our_words():
        raise error
    assert str(refused.value).startswith(said)
    assert is_away(refused.value)


def test_an_upload_that_failed_says_what_the_store_answered() -> None:
    failed = S3UploadFailedError("by boto3")
    failed.__cause__ = answer(403, "AccessDenied")
    with pytest.raises(StoreRefuses, match="403"), in_our_words():
        raise failed


def test_what_is_missing_is_missing_only_where_a_key_was_asked_for() -> None:
    with pytest.raises(Missing), in_our_words("a key"):
        raise answer(404, "NoSuchKey")
    with pytest.raises(StoreRefuses), in_our_words():
        raise answer(404, "NoSuchKey")


@pytest.mark.parametrize("error", [PermissionError(13, "our own disk"), ZeroDivisionError()])
def test_what_is_not_the_stores_passes(error: Exception) -> None:
    with pytest.raises(type(error)), in_our_words("a key"):
        raise error
    assert not is_away(error)
