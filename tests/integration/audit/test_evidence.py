"""What the object store remembers of a ledger."""

from __future__ import annotations

from audit.ledger.snapshots import PastSnapshots
from audit.verify.anchors import anchors_of_snapshots
from audit.verify.verdict import render
from audit.verify.verification import Witnesses, verify
from contract.seals import SnapshotSeals
from local.services import Services
from runtime.object_store import ObjectStore
from scheduling import snapshot
from streams.ledger.snapshots import save
from tests.twin.signing import KEY
from tests.unit.audit.ledger import lived_in


def test_the_newest_whole_snapshot_vouches_and_shows_a_cut_tail(servers: Services) -> None:
    store, ledger = ObjectStore(servers.settings), lived_in()
    pool, snapshots = "remembered", PastSnapshots(store, SnapshotSeals([KEY]))
    assert anchors_of_snapshots(snapshots, pool) == []
    last = ledger.state.head_offset
    key = save(store, SnapshotSeals([KEY]), pool, last, ledger.now_ms, snapshot.encode(ledger.state))
    store.put(SnapshotSeals([KEY]).key_of(pool, last + 1, ledger.now_ms, b"whole"), b"damaged")
    anchors = anchors_of_snapshots(snapshots, pool)
    assert [(a.source, a.offset, a.hash) for a in anchors] == [(f"snapshot {key}", last, ledger.state.head_hash)]

    verdict = verify(ledger.source, "main", Witnesses(anchors))
    assert verdict.clean, render(verdict)
    assert verdict.anchored_offset == last

    del ledger.records[-1]
    verdict = verify(ledger.source, "main", Witnesses(anchors))
    assert [finding.invariant for finding in verdict.findings] == ["I14"]
    assert "its tail was cut" in verdict.findings[0].text
