"""Media through a node on a real broker and object store: prepared ones in, encoded ones out."""

from __future__ import annotations

import hashlib
import io
import signal

import av
import msgspec

from contract.codec import decode_result, encode
from contract.inputs import Succeeded
from contract.names import digest_of
from contract.orders import PreparedInputs, Run
from contract.prepared import (
    MANIFEST_NAME,
    MediaFacts,
    PreparedFile,
    PreparedManifest,
    inputs_prefix,
    preparation_prefix,
)
from contract.results import MANIFEST_NAME as RESULT_NAME
from contract.results import attempt_prefix
from local.services import Services
from runtime.object_store import ObjectStore
from tests.integration.gpu_worker.by_hand import HandScheduler, NodeProcess, SteadyNode

FRAME = bytes(range(0, 192, 1)) * 48
BYTES_MAX = 2**20


def prepared(store: ObjectStore, order: Run) -> Run:
    """The same order, of a job whose clip a CPU worker has prepared."""
    prefix = preparation_prefix(order.job, "1.0.0")
    sha256 = hashlib.sha256(FRAME).hexdigest()
    facts = MediaFacts("mp4", "h264", 100, sha256)
    file = PreparedFile("clip", 0, "0.npy", sha256, len(FRAME), "video", "frames", facts)
    manifest = encode(PreparedManifest(order.job, "1.0.0", order.version, "sha256:00", (file,), "ab" * 16))
    store.put(f"{prefix}0.npy", FRAME)
    store.put(prefix + MANIFEST_NAME, manifest)
    return msgspec.structs.replace(order, prepared=PreparedInputs("1.0.0", digest_of(manifest), len(FRAME)))


def test_what_was_prepared_becomes_a_film(
    servers: Services, scheduler: HandScheduler, steady: SteadyNode, odd: str
) -> None:
    store = ObjectStore(servers.settings)
    order = prepared(store, scheduler.for_steady(steady, odd, {"how": "film", "clip": "upload:u-1"}))
    scheduler.send(order)
    assert isinstance(scheduler.ended(order.dispatch), Succeeded)
    prefix = attempt_prefix(order.job, order.dispatch)
    manifest = decode_result(store.get(prefix + RESULT_NAME, BYTES_MAX))
    assert [file.name for file in manifest.files] == ["film.mp4", "film.poster.jpg", "film.thumb.jpg"]
    for file in manifest.files:
        assert hashlib.sha256(store.get(prefix + file.name, BYTES_MAX)).hexdigest() == file.sha256
    with av.open(io.BytesIO(store.get(prefix + "film.mp4", BYTES_MAX)), "r") as film:
        assert len(list(film.decode(video=0))) == 12
    assert store.list(inputs_prefix(order.job)), "a node deletes nothing in the store"


def test_a_node_that_is_told_to_end_stores_what_its_encoder_has_begun(
    servers: Services, scheduler: HandScheduler, node: NodeProcess, odd: str
) -> None:
    store = ObjectStore(servers.settings)
    order = prepared(store, scheduler.run(node.start(slots=1), odd, {"how": "film", "clip": "upload:u-1"}))
    scheduler.send(order)
    scheduler.started(order.dispatch)
    node.signal(signal.SIGTERM)
    assert isinstance(scheduler.ended(order.dispatch), Succeeded)
