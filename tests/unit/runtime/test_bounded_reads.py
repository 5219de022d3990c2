"""Every read of an object has an expected size, and whoever reads knows what a store that sends more is worth."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.results import _assemble
from api.results import _ResultDamaged as ResultDamaged
from audit.ledger.snapshots import PastSnapshots
from audit.verify.anchors import anchors_of_snapshots
from audit.verify.results import _verify
from contract.results import MANIFEST_NAME, attempt_prefix
from registry.blobs import BlobCache
from registry.environment_lock import Environment
from registry.errors import RegistryError
from registry.manifest import VersionFile, blob_key
from registry.wheels import list_key, vendored
from runtime.kafka_credentials import Brokers
from runtime.object_store import ObjectStore, StoreFault
from runtime.object_store_health import ask
from runtime.snapshots import SnapshotSource
from scheduling import snapshot
from scheduling.state.pool import initial_state
from streams.door.intake_positions import IntakePosition, IntakePositions
from streams.ledger.disk_snapshots import DiskSnapshots
from streams.ledger.snapshots import newest_stored, save
from tests.twin.lying_bucket import SEALS
from tests.twin.object_store import TwinObjectStore

ROOT = Path(__file__).parents[3]
NO_ROOMS = {"tests", "build", "docs", "examples"}
READS = re.compile(r"\.(get_object|download_file|download_fileobj|select_object_content)\b")
"""Of boto3."""
NO_WHEELS = Environment("3.11", "cp311", "any", ())
FILE = VersionFile("model.py", "a" * 64, 3)
JOB, DISPATCH = "main-" + "0" * 32, "1.2.3"


def test_only_one_module_reads_objects_and_it_reads_nothing_whole() -> None:
    rooms = [room for room in ROOT.iterdir() if room.name.isidentifier() and room.name not in NO_ROOMS]
    reading = [file for room in rooms for file in room.rglob("*.py") if READS.search(file.read_text())]
    assert reading == [ROOT / "runtime/object_store.py"]
    assert not re.search(r"\.read\(\)|\.iter_chunks\(", reading[0].read_text().replace("path.read_bytes()", ""))


@pytest.mark.parametrize("read", [ObjectStore.get, ObjectStore.get_file, DiskSnapshots.get, SnapshotSource.get])
def test_a_read_without_a_size_cannot_be_written(read: Callable[..., Any]) -> None:
    *_, size = inspect.signature(read).parameters.values()
    assert size.name in ("bytes_max", "size")
    assert size.default is inspect.Parameter.empty


def _stored() -> TwinObjectStore:
    store = TwinObjectStore()
    save(store, SEALS, "main", 7, 1_790_000_000_000, snapshot.encode(initial_state("main")))
    IntakePositions(store, Brokers("nowhere:1")).write(0, IntakePosition(7))
    for key in (list_key(NO_WHEELS), blob_key(FILE.sha256), attempt_prefix(JOB, DISPATCH) + MANIFEST_NAME):
        store.place(key, b"abc")
    return store


class Row:
    job, result_dispatch, result_manifest = JOB, DISPATCH, ""


ENDLESS: dict[str, tuple[Callable[[Any, Path], Any], Any]] = {
    "a scheduler's snapshot": (lambda store, _: newest_stored(store, SEALS, "main"), None),
    "an auditor's snapshot": (lambda store, _: anchors_of_snapshots(PastSnapshots(store, SEALS), "main"), []),
    "intake's place": (lambda store, _: IntakePositions(store, Brokers("nowhere:1")).place(0), IntakePosition(0)),
    "a version's manifest": (lambda store, path: BlobCache(path, store).read(FILE.sha256, 9), RegistryError),
    "a version's file": (lambda store, path: BlobCache(path, store).fetch(FILE), RegistryError),
    "a list of wheels": (lambda store, _: vendored(NO_WHEELS, store), RegistryError),
    "a result's manifest": (lambda store, _: _assemble(store, Row()), ResultDamaged),  # type: ignore[arg-type]
    "an accepted result": (
        lambda store, _: _verify(store, JOB, DISPATCH, "")[:42],
        "expected at most 8388608 bytes at results/",
    ),
    "a probe": (lambda store, _: ask(store, "test"), StoreFault),
}
"""By what is read: a reader, and what it makes of a store that sends without end. A new reader adds its line."""


@pytest.mark.parametrize("what", ENDLESS)
def test_whoever_reads_passes_over_or_refuses_what_has_no_end(what: str, tmp_path: Path) -> None:
    read, expected = ENDLESS[what]
    store = _stored()
    store.faults.endless = True
    if isinstance(expected, type):
        with pytest.raises(expected) as refused:
            read(store, tmp_path)
        assert getattr(refused.value, "code", "corrupt") == "corrupt"
    else:
        assert read(store, tmp_path) == expected
