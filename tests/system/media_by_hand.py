"""A model that takes media, uploads and jobs on a stack, written where its doors write: for tests of what follows."""

from __future__ import annotations

import hashlib
import json
import struct
import uuid
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from contract import signers
from contract.codec import encode
from contract.inputs import JobSubmitted, Submission, VersionPublished, Wire
from contract.media import MediaRule, rules_digest
from contract.names import payload_digest
from contract.prepared import UPLOAD_DATA, UPLOAD_READY, UploadReady, upload_prefix
from contract.signing import RecordSigner
from local import installation_key, stack
from registry.manifest import MANIFEST_BYTES_MAX, blob_key, decode_manifest, digest_of, encode_manifest
from registry.schemas import media_fields, rules_of
from runtime import jobs_writer
from runtime.kafka import Producer
from runtime.object_store import ObjectStore
from tests.system.installation import Installation

TENANT, TIER, MODEL = "demo", "api", "noop"
SALT = "00" * 16
RULE = MediaRule(bytes_max=1_000_000, width=32, height=32, fps=8, frames_max=16)


class MediaByHand:
    def __init__(self, here: Installation) -> None:
        self.here = here
        self.store = ObjectStore(stack.settings(here.data))
        self._key = installation_key.keys_in(here.layout.installation_keys)[0]
        self._producers: dict[str, Producer] = {}

    def publish(self, kind: str = "image", rule: MediaRule = RULE) -> str:
        """A version as noop's, which takes a medium `source` too. The version that was published plainly is `noop`."""
        plain = self.here.publish_noop()
        manifest = decode_manifest(self.store.get(blob_key(plain.removeprefix("sha256:")), MANIFEST_BYTES_MAX), plain)
        source = {"type": "string", "format": kind, "media": msgspec.to_builtins(rule)}
        properties = {**manifest.inputs["properties"], "source": source}
        inputs = {**manifest.inputs, "properties": properties}
        taking = msgspec.structs.replace(manifest, inputs=inputs)
        version = digest_of(taking)
        self.store.put(blob_key(version.removeprefix("sha256:")), encode_manifest(taking))
        prepares = rules_digest(rules_of(media_fields(inputs)))
        self._say(signers.RELAY, VersionPublished(MODEL, version, taking.requirements, taking.timeout_ms, prepares))
        return version

    def upload(self, data: bytes, tenant: str = TENANT) -> str:
        """`upload:ID`."""
        upload = f"u-{uuid.uuid4().hex}"
        prefix = upload_prefix(tenant, upload)
        self.store.put(prefix + UPLOAD_DATA, data)
        ready = UploadReady(tenant, upload, len(data), hashlib.sha256(data).hexdigest())
        self.store.put(prefix + UPLOAD_READY, encode(ready))
        return f"upload:{upload}"

    def submit(self, version: str, source: str, more: Mapping[str, Any] = {}, tenant: str = TENANT) -> str:
        """The job's id."""
        job = f"main-{uuid.uuid4().hex}"
        inputs = json.dumps({"source": source, **more}).encode()
        said = Submission(
            job, tenant, TIER, f"{MODEL}@{version}", payload_digest(SALT, inputs), "api", expires_in_ms=600_000, media=1
        )
        self._say(signers.API, JobSubmitted(said, msgspec.Raw(inputs), SALT))
        return job

    def _say(self, role: str, body: Wire) -> None:
        if role not in self._producers:
            self._producers[role] = Producer(stack.brokers(self.here.data, role), f"by-hand-{role}")
        signer = RecordSigner(self._key.of(role))
        record = signer.record(body, partition=0, key=uuid.uuid4().hex.encode(), event_id=uuid.uuid4().hex, source=role)
        jobs_writer.send_and_wait(self._producers[role], record)

    def close(self) -> None:
        for producer in self._producers.values():
            producer.close()


def picture(number: int) -> bytes:
    """A PNG of its own: no two of them are the same bytes."""
    raw = b"".join(b"\0" + bytes((x * 5 + y * 3 + number) % 256 for x in range(120)) for y in range(30))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40, 30, 8, 2, 0, 0, 0)
    shown = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"tEXt", b"n\0%d" % number)
    return b"\x89PNG\r\n\x1a\n" + shown + chunk(b"IEND", b"")
