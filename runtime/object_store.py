"""The object store: S3 by boto3, which only this file knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as StoreUnreachable

from runtime.settings import Settings

PART_BYTES = 8 * 1024 * 1024
"""Files larger than this are uploaded in parts: a small server cannot take a large file whole."""

_TRANSFER = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)
_STREAM = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)
_STREAM.max_in_memory_upload_chunks = 4
_DELETE_BATCH = 1000


UNAVAILABLE = (StoreUnreachable, HTTPClientError, NoCredentialsError, ClientError)
"""What every call may raise when the store cannot be reached, or refuses the request."""


def is_away(error: BaseException) -> bool:
    """Whether the store was not reached, or refused the request: another try may succeed. botocore's errors of a
    connection, time-outs among them, are OSErrors, but not Python's ConnectionError or TimeoutError."""
    return isinstance(error, (*UNAVAILABLE, ConnectionError, TimeoutError))


class Missing(KeyError):
    """No object has this key."""


class Source(Protocol):
    """Where an object's bytes come from: at most `size` bytes a call, all that are left when there is no `size`; no
    bytes at the end."""

    def read(self, size: int = ..., /) -> bytes: ...


class ObjectStore:
    """One bucket. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.bucket = settings.s3_bucket
        self._region = settings.s3_region
        self._client = _client(settings, settings.s3_endpoint)
        self._signer = _client(settings, settings.s3_public_endpoint or settings.s3_endpoint)

    def ensure_bucket(self) -> None:
        """Create the bucket if there is none."""
        if self.bucket_exists():
            return
        options = (
            {} if self._region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        )
        try:
            self._client.create_bucket(Bucket=self.bucket, **options)
        except ClientError as error:
            if _code(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    def bucket_exists(self) -> bool:
        try:
            self._client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if _code(error) in ("404", "NoSuchBucket", "NotFound"):
                return False
            raise
        return True

    def put(
        self, key: str, data: bytes, *, content_type: str = "application/octet-stream", if_absent: bool = False
    ) -> bool:
        """Store an object. With `if_absent`, the first writer of a key wins, and later writers get False."""
        options = {"IfNoneMatch": "*"} if if_absent else {}
        try:
            self._client.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=content_type, **options)
        except ClientError as error:
            if if_absent and _code(error) in ("PreconditionFailed", "412", "ConditionalRequestConflict"):
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
        self._client.upload_file(str(path), self.bucket, key, ExtraArgs={"ContentType": content_type}, Config=_TRANSFER)
        return True

    def put_stream(self, key: str, source: Source, *, content_type: str = "application/octet-stream") -> None:
        """Store what the source gives, in parts when that is large. The source is read once, from its position to its
        end, and never set back: tries are repeated from memory, of which this call takes at most 64 MiB. Raises what
        `source.read` raises, and then there is no object."""
        self._client.upload_fileobj(
            _Forward(source), self.bucket, key, ExtraArgs={"ContentType": content_type}, Config=_STREAM
        )

    def get(self, key: str) -> bytes:
        """The object's bytes. Missing when there is no object."""
        try:
            response = self._client.get_object(Bucket=self.bucket, Key=key)
            body: bytes = response["Body"].read()
        except ClientError as error:
            raise _missing_or(error, key) from None
        return body

    def get_file(self, key: str, path: Path) -> None:
        """Write the object to `path`, whose directory exists. Missing when there is no object."""
        try:
            self._client.download_file(self.bucket, key, str(path), Config=_TRANSFER)
        except ClientError as error:
            raise _missing_or(error, key) from None

    def exists(self, key: str) -> bool:
        try:
            self._client.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            missing = _missing_or(error, key)
            if isinstance(missing, Missing):
                return False
            raise
        return True

    def list(self, prefix: str) -> list[str]:
        """Every key that starts with `prefix`, sorted."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))

    def delete_prefix(self, prefix: str) -> int:
        """Delete every object whose key starts with `prefix`. Returns how many there were."""
        if not prefix:
            raise ValueError("expected a prefix, found an empty one, which would delete everything")
        keys = self.list(prefix)
        for start in range(0, len(keys), _DELETE_BATCH):
            batch = [{"Key": key} for key in keys[start : start + _DELETE_BATCH]]
            answer = self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True})
            if answer.get("Errors"):
                raise OSError(f"{len(answer['Errors'])} of {len(batch)} objects under {prefix!r} were not deleted")
        return len(keys)

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


def _client(settings: Settings, endpoint: str) -> Any:
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
            retries={"mode": "standard", "max_attempts": 4},
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=32,
        ),
    )


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _missing_or(error: ClientError, key: str) -> Exception:
    return Missing(key) if _code(error) in ("NoSuchKey", "404", "NotFound") else error
