"""Objects that somebody else writes: links for that, and parts that become one object, or none.

A link says how many bytes it takes, and the store refuses others: the length is among the signed headers. A link for a
whole object writes it once: nobody exchanges the bytes after they were looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from runtime.object_store_errors import Missing, StoreRefuses, in_our_words

_UNKNOWN_PARTS = "NoSuchUpload"

ONCE = {"If-None-Match": "*"}
"""What a client sends with a link of `presign_put`."""


class ArrivedPart(NamedTuple):
    bytes: int
    etag: str


class ObjectParts:
    """What ObjectStore can do with parts. Every call may raise StoreFault."""

    bucket: str
    _client: Any
    _patient: Any
    _signer: Any

    def begin_parts(self, key: str) -> str:
        """The id of an object in parts: until `join_parts` there is no object, and the parts stay until then or until
        `abort_parts`."""
        with in_our_words():
            begun: str = self._client.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]
        return begun

    def put_part(self, key: str, parts: str, number: int, data: bytes) -> None:
        """`number` counts from 1. All parts but the last have at least 5 MiB. The same number again replaces the part.
        Missing: nobody began these parts, or they ended."""
        with _of_parts(key):
            self._patient.upload_part(Bucket=self.bucket, Key=key, UploadId=parts, PartNumber=number, Body=data)

    def arrived_parts(self, key: str, parts: str) -> dict[int, ArrivedPart]:
        """By number; of at most 1,000. Missing: as `put_part`, though some stores say of parts that ended that none
        arrived."""
        with _of_parts(key):
            found = self._client.list_parts(Bucket=self.bucket, Key=key, UploadId=parts)
        return {part["PartNumber"]: ArrivedPart(part["Size"], part["ETag"]) for part in found.get("Parts", ())}

    def join_parts(self, key: str, parts: str, arrived: Mapping[int, ArrivedPart]) -> None:
        """Make the object of these parts. Missing: as `put_part`. Look first whether there is an object: some stores
        take this twice, and have an empty object then."""
        named = [{"PartNumber": number, "ETag": arrived[number].etag} for number in sorted(arrived)]
        with _of_parts(key):
            self._patient.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=parts, MultipartUpload={"Parts": named}
            )

    def abort_parts(self, key: str, parts: str) -> None:
        """Remove the parts. What is not there is no error."""
        with suppress(Missing), _of_parts(key):
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=parts)

    def begun_parts(self, prefix: str) -> list[tuple[str, str]]:
        """(key, id) of parts that were begun below this prefix and have not ended; of at most 1,000."""
        with in_our_words():
            found = self._client.list_multipart_uploads(Bucket=self.bucket, Prefix=prefix)
        begun = [(each["Key"], each["UploadId"]) for each in found.get("Uploads", ())]
        return [each for each in begun if each[0].startswith(prefix)]

    def presign_put(self, key: str, size: int, ttl_s: int) -> str:
        """A URL by which anyone can write the object once, with so many bytes and the headers ONCE."""
        return self._presigned("put_object", ttl_s, Key=key, ContentLength=size, IfNoneMatch="*")

    def presign_part(self, key: str, parts: str, number: int, size: int, ttl_s: int) -> str:
        """A URL by which anyone can write the part, with so many bytes."""
        return self._presigned("upload_part", ttl_s, Key=key, UploadId=parts, PartNumber=number, ContentLength=size)

    def _presigned(self, operation: str, ttl_s: int, **asked: Any) -> str:
        with in_our_words():
            url: str = self._signer.generate_presigned_url(
                operation, Params={"Bucket": self.bucket, **asked}, ExpiresIn=ttl_s
            )
        return url


@contextmanager
def _of_parts(key: str) -> Iterator[None]:
    """As in_our_words, with Missing for parts that nobody knows."""
    try:
        with in_our_words():
            yield
    except StoreRefuses as refused:
        if refused.code == _UNKNOWN_PARTS:
            raise Missing(key) from None
        raise
