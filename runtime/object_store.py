"""The object store: S3 by boto3, which only this file knows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from runtime.object_parts import ArrivedPart, ObjectParts
from runtime.object_store_errors import (
    DENIED,
    DENIED_CODES,
    INVALID_RANGE,
    NOT_IMPLEMENTED,
    Missing,
    OtherSize,
    StoreAway,
    StoreFault,
    StoreRefuses,
    code_of,
    in_our_words,
    is_away,
)
from runtime.proxies import ProxyUnusable, proxy_for
from runtime.settings import Settings

__all__ = [
    "UNAVAILABLE",
    "ArrivedPart",
    "Missing",
    "ObjectStore",
    "OtherSize",
    "Source",
    "StoreAway",
    "StoreFault",
    "StoreRefuses",
    "is_away",
]

PART_BYTES = 8 * 1024 * 1024
"""Files larger than this go in parts, both ways: a small server cannot take a large file whole."""
PARTS_AT_ONCE = 4
PART_TRIES = 5
"""How often a part of a file is asked for when its bytes stop coming."""
READ_BYTES = 256 * 1024
"""How much of an answer is read at once."""
LISTED_MAX = 1_000_000
"""Keys of one listing. Nothing of ours has as many below one prefix; a store could go on for ever."""

_TRANSFER = TransferConfig(
    multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=PARTS_AT_ONCE
)
_STREAM = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
_STREAM.max_in_memory_upload_chunks = 4
_DELETE_BATCH = 1000


UNAVAILABLE = (StoreFault,)
"""What every call may raise when the store cannot be reached, or refuses the request."""

READ_TIMEOUT_S = 60.0
SHORT_READ_TIMEOUT_S = 6.0
"""Where whoever asks tries again by itself: all goes on within 10 s of the end of an outage, also of one in which the
connection died and nobody said so."""
TRIES = 4
_NO_BATCHES = (400, 405, 411, NOT_IMPLEMENTED)
"""Answers of a store that cannot delete many objects by one request, or not without a header that we do not send."""
_TAKEN_CODES = ("PreconditionFailed", "412", "ConditionalRequestConflict")


class Source(Protocol):
    """Where an object's bytes come from: at most `size` bytes a call, all that are left when there is no `size`; no
    bytes at the end."""

    def read(self, size: int = ..., /) -> bytes: ...


class ObjectStore(ObjectParts):
    """One bucket. Safe to use from several threads. Every call may raise StoreFault."""

    def __init__(
        self,
        settings: Settings,
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        part_timeout_s: float | None = None,
        tries: int = TRIES,
    ) -> None:
        """A store that takes a request and says nothing is away after `read_timeout_s`, `tries` times; when it has
        taken a part of a large object, after `part_timeout_s` (None: the same): a slow store answers once it has
        written the part."""
        self.bucket = settings.s3_bucket
        self._region = settings.s3_region
        self.deletes_batches = settings.s3_batch_deletes
        """False once the store has refused one."""
        self._client = _client(settings, settings.s3_endpoint, read_timeout_s, tries)
        self._patient = (
            self._client if part_timeout_s is None else _client(settings, settings.s3_endpoint, part_timeout_s, tries)
        )
        """For what goes in parts."""
        self._signer = _client(settings, settings.s3_public_endpoint or settings.s3_endpoint, read_timeout_s, tries)

    def ensure_bucket(self) -> None:
        """Create the bucket if there is none."""
        if self.bucket_exists():
            return
        options = (
            {} if self._region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        )
        with in_our_words():
            try:
                self._client.create_bucket(Bucket=self.bucket, **options)
            except ClientError as error:
                if code_of(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    raise

    def bucket_exists(self) -> bool:
        with in_our_words():
            try:
                self._client.head_bucket(Bucket=self.bucket)
            except ClientError as error:
                if code_of(error) in ("404", "NoSuchBucket", "NotFound"):
                    return False
                raise
        return True

    def put(
        self, key: str, data: bytes, *, content_type: str = "application/octet-stream", if_absent: bool = False
    ) -> bool:
        """Store an object. With `if_absent`, the first writer of a key wins, and later writers get False."""
        options = {"IfNoneMatch": "*"} if if_absent else {}
        with in_our_words():
            try:
                self._client.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=content_type, **options)
            except ClientError as error:
                if if_absent and code_of(error) in _TAKEN_CODES:
                    return False
                raise
        return True

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str = "application/octet-stream",
        if_absent: bool = False,
    ) -> bool:
        """Store a file, in parts when the file is large. `if_absent` as in `put`, except that a file in parts is
        preceded by a look only, so two writers at once may both write: use `if_absent` for keys that name their
        content."""
        if path.stat().st_size <= PART_BYTES:
            return self.put(key, path.read_bytes(), content_type=content_type, if_absent=if_absent)
        if if_absent and self.exists(key):
            return False
        options = {"ContentType": content_type}
        with in_our_words():
            self._patient.upload_file(str(path), self.bucket, key, ExtraArgs=options, Config=_TRANSFER)
        return True

    def put_stream(self, key: str, source: Source, *, content_type: str = "application/octet-stream") -> None:
        """Store what the source gives, in parts when that is large. The source is read once, from its position to its
        end, and never set back: tries are repeated from memory, of which this call takes at most 64 MiB. Raises what
        `source.read` raises, and then there is no object."""
        options = {"ContentType": content_type}
        with in_our_words():
            self._patient.upload_fileobj(_Forward(source), self.bucket, key, ExtraArgs=options, Config=_STREAM)

    def get(self, key: str, bytes_max: int) -> bytes:
        """The object's bytes. Missing when there is no object; OtherSize when there are more than `bytes_max`, of which
        no more are read."""
        with in_our_words(key):
            return b"".join(self._read(key, bytes_max))

    def get_file(self, key: str, path: Path, size: int) -> None:
        """Write the object of `size` bytes to `path`, whose directory exists. Missing when there is no object;
        OtherSize when the object has more bytes, of which no more are read, or fewer. Whoever asks checks the
        content."""
        starts = range(0, max(size, 1), PART_BYTES)
        with path.open("wb") as file, ThreadPoolExecutor(min(PARTS_AT_ONCE, len(starts)), "parts") as threads:
            parts = [threads.submit(self._get_part, key, file.fileno(), start, size) for start in starts]
            try:
                for part in parts:
                    part.result()
            finally:
                threads.shutdown(wait=False, cancel_futures=True)  # after a fault no other part is begun

    def _get_part(self, key: str, file: int, start: int, size: int) -> None:
        end = min(start + PART_BYTES, size)
        for tries_left in reversed(range(PART_TRIES)):
            at = start
            try:
                with in_our_words(key):
                    for data in self._read(key, end - start, (start, end) if size > PART_BYTES else None):
                        at += os.pwrite(file, data, at)
            except (StoreAway, ConnectionError, TimeoutError):
                if not tries_left or at == start:  # until the first bytes come, the library itself tries again
                    raise
            else:
                break
        if at != end:
            raise OtherSize(key, f"{size} bytes", "fewer")

    def _read(self, key: str, bytes_max: int, part: tuple[int, int] | None = None) -> Iterator[bytes]:
        """The bytes of the object, or of this part of it, from the first offset up to the second."""
        options = {} if part is None else {"Range": f"bytes={part[0]}-{part[1] - 1}"}
        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=key, **options)
        except ClientError as error:
            if code_of(error) == INVALID_RANGE:
                raise OtherSize(key, f"more than {part[0] if part else 0} bytes", "fewer") from None
            if code_of(error) in DENIED_CODES and self._is_absent(key):
                raise Missing(key) from None
            raise
        left = bytes_max
        with closing(answer["Body"]) as body:
            while data := body.read(READ_BYTES):
                left -= len(data)
                if left < 0:
                    raise OtherSize(key, f"at most {bytes_max} bytes", "more")
                yield data

    def exists(self, key: str) -> bool:
        try:
            with in_our_words(key):
                self._client.head_object(Bucket=self.bucket, Key=key)
        except Missing:
            return False
        except StoreRefuses as refused:
            if refused.code in DENIED_CODES and self._is_absent(key):
                return False
            raise
        return True

    def size_of(self, key: str) -> int:
        """The object's bytes, as the store says. Missing when there is no object."""
        try:
            with in_our_words(key):
                size: int = self._client.head_object(Bucket=self.bucket, Key=key)["ContentLength"]
        except StoreRefuses as refused:
            if refused.code in DENIED_CODES and self._is_absent(key):
                raise Missing(key) from None
            raise
        return size

    def sha256_of(self, key: str, bytes_max: int) -> str:
        """Hexadecimal, of the object's bytes, of which no more than one piece is in memory. As `get`."""
        digest = hashlib.sha256()
        with in_our_words(key):
            for data in self._read(key, bytes_max):
                digest.update(data)
        return digest.hexdigest()

    def _is_absent(self, key: str) -> bool:
        """Whether a listing says that there is no such object. A store whose login may list this prefix alone refuses
        to say so of a single object."""
        try:
            found = self._client.list_objects_v2(Bucket=self.bucket, Prefix=key, MaxKeys=1)
        except ClientError:
            return False
        return key not in [item["Key"] for item in found.get("Contents", ())]

    def list(self, prefix: str) -> list[str]:
        """Every key that starts with `prefix`, sorted. OtherSize when there are more than LISTED_MAX."""
        keys: list[str] = []
        with in_our_words():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                keys += [item["Key"] for item in page.get("Contents", ())]
                if len(keys) > LISTED_MAX:
                    raise OtherSize(prefix, f"at most {LISTED_MAX} keys", "more")
        return sorted(keys)

    def delete_prefix(self, prefix: str) -> int:
        """Delete every object whose key starts with `prefix`. Returns how many there were."""
        if not prefix:
            raise ValueError("expected a prefix, found an empty one, which would delete everything")
        keys = self.list(prefix)
        self.delete(keys)
        return len(keys)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete these objects. What is not there is no error."""
        for start in range(0, len(keys), _DELETE_BATCH):
            self._delete(keys[start : start + _DELETE_BATCH])

    def _delete(self, keys: Sequence[str]) -> None:
        """By one request; one by one where the store has refused that."""
        if self.deletes_batches:
            try:
                self._delete_batch(keys)
            except StoreRefuses as refused:
                if refused.status not in _NO_BATCHES:
                    raise
                self.deletes_batches = False
            else:
                return
        for key in keys:
            self._delete_one(key)

    def _delete_one(self, key: str) -> None:
        with in_our_words():
            self._client.delete_object(Bucket=self.bucket, Key=key)

    def _delete_batch(self, keys: Sequence[str]) -> None:
        named = [{"Key": key} for key in keys]
        with in_our_words():
            answer = self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": named, "Quiet": True})
        errors = answer.get("Errors")
        if errors and any(error.get("Code") in DENIED_CODES for error in errors):
            raise StoreRefuses("the object store answered 403 AccessDenied to DeleteObjects", status=403, code=DENIED)
        if errors:
            raise StoreAway(f"{len(answer['Errors'])} of {len(named)} objects were not deleted")

    def presign(self, key: str, ttl_s: int, filename: str) -> str:
        """A URL by which anyone can download the object for `ttl_s` seconds, to be saved as `filename`."""
        quoted = filename.replace("\\", "_").replace('"', "_")
        url: str = self._signer.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self.bucket,
                "Key": key,
                "ResponseContentDisposition": f'attachment; filename="{quoted}"',
            },
            ExpiresIn=ttl_s,
        )
        return url


class _Forward:
    """A source with nothing but `read`, so that boto3 can neither set it back nor ask for its size."""

    def __init__(self, source: Source) -> None:
        self.read = source.read


def _client(settings: Settings, endpoint: str, read_timeout_s: float, tries: int) -> Any:
    # A session of its own: boto3's default session is not safe to create clients from in several threads.
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint or None,
        aws_access_key_id=settings.s3_access_key or None,
        aws_secret_access_key=settings.s3_secret_key or None,
        region_name=settings.s3_region,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "total_max_attempts": tries},
            connect_timeout=5,
            read_timeout=read_timeout_s,
            max_pool_connections=32,
            request_checksum_calculation=settings.s3_checksums,
            response_checksum_validation=settings.s3_checksums,
            # botocore asks the environment itself where this is None
            proxies=_proxies(endpoint) if endpoint else None,
        ),
    )


def _proxies(endpoint: str) -> dict[str, str]:
    """By scheme, the proxy by which to reach the store. StoreRefuses."""
    try:
        proxy = proxy_for(endpoint)
    except ProxyUnusable as unusable:
        raise StoreRefuses(str(unusable)) from None
    return {"http": proxy, "https": proxy} if proxy else {}
