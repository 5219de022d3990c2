"""Doors of the object store's answers: snapshots and their names, intake's place, orders to skip, manifests, wheels,
the marks on a node's disk, results."""

from __future__ import annotations

import hashlib
import json
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from api.results import _assemble
from api.results import _ResultDamaged as ResultDamaged
from audit.verify.anchor_check import AnchorCheck
from audit.verify.results import _verify
from audit.verify.verdict import Anchor
from contract.chain import Chain
from contract.codec import Malformed, decode_result, encode
from contract.names import digest_of
from contract.results import MANIFEST_NAME, ResultManifest, attempt_prefix
from contract.seals import SnapshotSeals
from contract.signers import INTAKE
from contract.snapshot_names import kept_of, key_of, names_in, nearest_before
from registry.depot import COMPLETE, MANIFEST, Depot
from registry.environment_lock import Environment, PinnedDistribution
from registry.errors import RegistryError
from registry.manifest import VersionFile, decode_manifest, encode_manifest
from registry.schemas import SchemaRefused, Validator
from registry.wheels import VendoredWheels, list_key, vendored
from runtime.kafka_credentials import Brokers
from runtime.object_store import Missing
from runtime.snapshots import first_usable, names_of
from scheduling import invariants, snapshot
from streams.door.intake_positions import IntakePosition, IntakePositions
from streams.door.skips import Skips
from tests.fuzz.door import Door
from tests.fuzz.mutations import changed, mostly_good
from tests.fuzz.records import record
from tests.twin.signing import KEY
from tests.unit.api.versions import version
from tests.unit.audit.ledger import POOL, lived_in
from views.rows import JobRow


class KeptObjects:
    """An object store that answers with what it is given."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def get(self, key: str, bytes_max: int) -> bytes:
        try:
            return self.objects[key]
        except KeyError:
            raise Missing(key) from None

    def exists(self, key: str) -> bool:
        return key in self.objects

    def list(self, prefix: str) -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))

    def presign(self, key: str, ttl_s: int, filename: str) -> str:
        return f"http://s3/{len(key)}/{ttl_s}/{len(filename)}"


# -- snapshots ---------------------------------------------------------------------------------------------------------


@cache
def a_snapshot() -> bytes:
    return snapshot.encode(lived_in().state)


def odd_snapshot(chance: Random) -> bytes:
    """A snapshot that is decoded and does not hold together, or is nearly text."""
    facts = json.loads(a_snapshot())
    job = next(job for job in facts["jobs"] if job["open"])
    odd: dict[str, Any] = chance.choice(
        (
            {"head_hash": "x"},
            {"versions": []},
            {"slos": {}},
            {"policy": facts["policy"] | {"discipline": "luck"}},
            {"pool": "\xff"},
            {"jobs": [job | {"open": job["open"] | {"dispatch": "half"}}]},
        )
    )
    raw = json.dumps(facts | odd, ensure_ascii=False).encode("latin-1")
    return raw if chance.random() < 0.7 else b'{"unknown":' + b"[" * 3_000 + b"]" * 3_000 + b"," + raw[1:]


def a_snapshot_offered(chance: Random) -> bytes:
    return odd_snapshot(chance) if chance.random() < 0.2 else mostly_good(chance, a_snapshot())


def feed_snapshot(raw: bytes) -> bool:
    """Whoever may write into the bucket may name a snapshot rightly. The scheduler that takes it over, the auditor that
    begins at it and `verify`, which holds the ledger against it, take it or pass it over for an older one."""
    key = key_of(POOL, 5, 1_790_000_000_000, raw)
    store: Any = KeptObjects({key: raw})
    reasons: list[str] = []
    found = first_usable(store, names_of(store, POOL), snapshot.decode, lambda _, reason: reasons.append(reason))
    if found is None:
        assert len(reasons) == 1
        assert len(reasons[0]) < 500
        assert reasons[0].isprintable(), reasons
        return False
    state = found.state
    again = snapshot.encode(state)
    assert snapshot.encode(snapshot.decode(again)) == again
    invariants.check(state)
    Chain.at(state.pool, state.head_hash, state.seq, state.epoch, state.head_offset)
    anchor = Anchor("a snapshot", state.head_offset, state.head_hash, raw)
    AnchorCheck([anchor]).compare(state.head_offset, state.head_hash, state)
    return True


KEYS = (
    f"snapshots/{POOL}/{7:020d}-{1_790_000_000_000:013d}-{'a' * 64}",
    f"snapshots/{POOL}/{9:020d}-{1_790_000_300_000:013d}-{'b' * 64}",
    SnapshotSeals([KEY]).key_of(POOL, 11, 1_790_000_600_000, b"state"),
    "skips/intake/submissions/0/17.json",
    "skips/intake/submissions/0/018.json",
)


def listing(chance: Random) -> list[str]:
    keys = [chance.choice(KEYS) for _ in range(chance.randint(0, 5))]
    return [key if chance.random() < 0.6 else changed(chance, key.encode()).decode("utf-8", "replace") for key in keys]


def feed_listing(keys: list[str]) -> bool:
    """Keys of another form are passed over; so everything is taken."""
    names = names_in(keys)
    kept = kept_of(names)
    assert kept_of(kept) == kept
    assert nearest_before(names, 1_790_000_000_000) == [n for n in reversed(names) if n.now_ms <= 1_790_000_000_000]
    assert all(SnapshotSeals([KEY]).refusal_of(name).isprintable() for name in names)
    store: Any = KeptObjects(dict.fromkeys(keys, b""))
    assert all(offset >= 0 for offset in Skips(store).ordered(0))
    return True


# -- intake's place ----------------------------------------------------------------------------------------------------


def feed_place(raw: bytes) -> bool:
    store: Any = KeptObjects({"positions/intake/submissions/0": raw})
    sealed = IntakePositions(store, Brokers("nowhere:1"), KEY.of(INTAKE)).place(0)
    assert sealed == IntakePosition(0), "nobody draws a seal that fits"
    place = IntakePositions(store, Brokers("nowhere:1")).place(0)
    return msgspec.json.decode(msgspec.json.encode(place), type=IntakePosition) == place and place.offset != 0


# -- versions ----------------------------------------------------------------------------------------------------------

A_FILE = VersionFile("model.py", "a" * 64, 10)
A_MANIFEST = msgspec.structs.replace(
    version({"type": "object", "properties": {"p": {"type": "string"}}}).manifest,
    code=(A_FILE,),
    weights=(VersionFile("w.safetensors", "b" * 64, 2**40),),
    environment=Environment("3.11", "cp311", "any", (PinnedDistribution("numpy", "1.0", "", ("c" * 64,)),)),
)


def feed_manifest(raw: bytes) -> bool:
    manifest = decode_manifest(raw, digest_of(raw))
    assert decode_manifest(encode_manifest(manifest), digest_of(encode_manifest(manifest))) == manifest
    for schema in (manifest.inputs, manifest.outputs):
        with suppress(SchemaRefused):
            Validator(msgspec.json.decode(msgspec.json.encode(schema))).fault({})
    assert all(Path("/v", file.path).is_relative_to("/v") for file in (*manifest.code, *manifest.weights))
    return True


def feed_wheels(raw: bytes) -> bool:
    store: Any = KeptObjects({list_key(A_MANIFEST.environment): raw})
    wheels = vendored(A_MANIFEST.environment, store)
    assert wheels
    assert all("/" not in wheel.path for wheel in wheels)
    return True


def marks(chance: Random) -> tuple[bytes, bytes]:
    """What lies on a node's disk beside a version's files: its marker and its manifest."""
    marker = msgspec.json.encode({"files": {"code/model.py": (10, 2, 3)}})
    return mostly_good(chance, marker), mostly_good(chance, encode_manifest(A_MANIFEST))


def feed_marks(example: tuple[bytes, bytes]) -> bool:
    """A version whose marks cannot be read is fetched again. Taken: it is looked at."""
    marker, manifest = example
    name = digest_of(manifest)
    with tempfile.TemporaryDirectory(prefix="headrace-door-") as folder:
        depot: Any = object.__new__(Depot)
        depot._root = Path(folder)
        place = Path(folder) / "versions" / name.removeprefix("sha256:")
        place.mkdir(parents=True)
        (place / MANIFEST).write_bytes(manifest)
        (place / COMPLETE).write_bytes(marker)
        depot._untouched(name)
    return True


# -- results -----------------------------------------------------------------------------------------------------------


def result(chance: Random) -> bytes:
    made = record(chance, ResultManifest)
    return mostly_good(chance, encode(msgspec.structs.replace(made, job=JOB, dispatch="1.2.3")))


JOB = "main-" + "0" * 32


def feed_result(raw: bytes) -> bool:
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    key = attempt_prefix(JOB, "1.2.3") + MANIFEST_NAME
    store: Any = KeptObjects({key: raw})
    complaint = _verify(store, JOB, "1.2.3", digest)
    assert not complaint or complaint.isprintable()
    assert len(complaint) < 1_000
    row: Any = _row(digest)
    made = _assemble(store, row)
    msgspec.json.decode(msgspec.json.encode(made))
    assert decode_result(encode(decode_result(raw))) == decode_result(raw)
    return True


def _row(digest: str) -> JobRow:
    blank: dict[type, Any] = {str: "", int: 0}
    fields: dict[str, Any] = {field.name: blank.get(field.type) for field in msgspec.structs.fields(JobRow)}
    return JobRow(**fields | {"job": JOB, "result_manifest": digest, "result_dispatch": "1.2.3"})


DOORS = (
    Door("a snapshot", a_snapshot_offered, feed_snapshot, ("scheduling.snapshot.decode",)),
    Door(
        "a listing",
        listing,
        feed_listing,
        (
            "contract.snapshot_names.names_in",
            "contract.seals.SnapshotSeals.refusal_of",
            "streams.door.skips.Skips.ordered",
        ),
    ),
    Door(
        "intake's place",
        lambda chance: mostly_good(chance, msgspec.json.encode(IntakePosition(7, "the registry", 5))),
        feed_place,
        ("streams.door.intake_positions.IntakePositions.place",),
    ),
    Door(
        "a version's manifest",
        lambda chance: mostly_good(chance, encode_manifest(A_MANIFEST)),
        feed_manifest,
        ("registry.manifest.decode_manifest",),
        (RegistryError,),
    ),
    Door(
        "a list of wheels",
        lambda chance: mostly_good(
            chance, msgspec.json.encode(VendoredWheels((VersionFile("numpy-1.0-py3-none-any.whl", "c" * 64, 9),)))
        ),
        feed_wheels,
        ("registry.wheels.vendored",),
        (RegistryError,),
    ),
    Door("marks on a node's disk", marks, feed_marks, ("registry.depot.Depot",)),
    Door(
        "a result's manifest",
        result,
        feed_result,
        ("contract.codec.decode_result", "api.results.checked_manifest", "audit.verify.results._verify"),
        (Malformed, ResultDamaged),
    ),
)
