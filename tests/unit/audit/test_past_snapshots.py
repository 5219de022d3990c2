"""A bucket that lies to people who ask about the past: who has the installation's key passes the lie over, who has none
reads the ledger from its beginning, and who cannot do that says that its answer begins at a snapshot of anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.as_of import as_of
from audit.ledger.past import LedgerPast, past_of_partition
from audit.ledger.snapshots import PastSnapshots
from audit.verify.anchors import UNPROVED, anchors_of_snapshots
from audit.verify.verification import Witnesses, verify
from audit.waits.sentences import explained
from audit.waits.why import why
from cli import connection, ledgers
from contract.batch import hash_of
from contract.codec import decode_batch
from contract.seals import SnapshotSeals
from contract.signing import InstallationKey
from contract.snapshot_names import key_of
from local.options import Layout
from runtime.kafka_credentials import Brokers
from runtime.settings import Settings
from scheduling import snapshot
from scheduling.evolve import fold
from scheduling.state.pool import State, initial_state
from tests.twin.object_store import TwinObjectStore
from tests.twin.signing import KEY
from tests.unit.audit.ledger import POOL, Ledger, job_of, lived_in

TRUE_OFFSET, FALSE_OFFSET, BEHIND_THE_END = 3, 6, 99


@pytest.fixture
def ledger() -> Ledger:
    return lived_in()


@pytest.fixture
def store(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> TwinObjectStore:
    """A scheduler stored a snapshot, and somebody else two later ones with states that never were: one of a record that
    the ledger has, and one of a record behind its end."""
    monkeypatch.setattr(
        "audit.ledger.past.ledger_from", lambda *_: (lambda first: iter(ledger.records[first:]), len(ledger.records))
    )
    store = TwinObjectStore()
    early = state_after(ledger, TRUE_OFFSET)
    data = snapshot.encode(early)
    store.place(SnapshotSeals([KEY]).key_of(POOL, TRUE_OFFSET, early.now_ms, data), data)
    false = state_after(ledger, FALSE_OFFSET)
    false.slos["free"] = 1
    for offset in (FALSE_OFFSET, BEHIND_THE_END):
        data = snapshot.encode(false)
        store.place(key_of(POOL, offset, false.now_ms, data), data)
    return store


def state_after(ledger: Ledger, upto: int) -> State:
    state = initial_state(POOL)
    for record in ledger.records[: upto + 1]:
        fold(state, decode_batch(record.value), hash_of(record.value), record.offset)
    return state


def past(store: TwinObjectStore, *keys: InstallationKey, unproved: bool = False) -> LedgerPast:
    snapshots = PastSnapshots(store, SnapshotSeals(keys), unproved=unproved)
    return past_of_partition(Brokers("nowhere:1"), POOL, 0, snapshots)


def begins_at(asked: LedgerPast, ledger: Ledger) -> int:
    return asked.state_before(ledger.now_ms).head_offset


def slo_of_free(asked: LedgerPast, ledger: Ledger) -> int:
    (tier,) = (tier for tier in as_of(asked, ledger.now_ms, ledger.now_ms).tiers if tier.tier == "free")
    return tier.slo_ms


def test_who_has_the_key_begins_at_a_schedulers_snapshot(ledger: Ledger, store: TwinObjectStore) -> None:
    asked = past(store, KEY)
    assert begins_at(asked, ledger) == TRUE_OFFSET
    assert slo_of_free(asked, ledger) == 100_000
    assert begins_at(past(store, InstallationKey(b"o" * 32)), ledger) == -1


def test_who_has_no_key_begins_at_the_first_record(ledger: Ledger, store: TwinObjectStore) -> None:
    asked = past(store)
    assert begins_at(asked, ledger) == -1
    assert slo_of_free(asked, ledger) == 100_000


def test_a_wait_that_was_read_from_anybodys_snapshot_says_so(ledger: Ledger, store: TwinObjectStore) -> None:
    job = job_of(3)
    submitted_ms = why(job, ledger.past).submitted_ms
    assert slo_of_free(past(store, unproved=True), ledger) == 1, "this check can fail"
    for unproved_offset, asked in (
        (FALSE_OFFSET, past(store, unproved=True)),
        (-1, past(store, KEY)),
        (-1, past(store)),
    ):
        found = explained(why(job, asked, submitted_ms), operator=False)
        assert found.unproved_offset == unproved_offset


def test_a_name_of_anybody_cuts_no_tail(ledger: Ledger, store: TwinObjectStore) -> None:
    for asked in (past(store, KEY), past(store), past(store, unproved=True)):
        assert asked.cut_after(ledger.state) is None


def test_a_snapshot_of_anybody_is_no_anchor_for_who_has_the_key(ledger: Ledger, store: TwinObjectStore) -> None:
    snapshots = PastSnapshots(store, SnapshotSeals([KEY]), unproved=True)
    verdict = verify(ledger.source, POOL, Witnesses(anchors_of_snapshots(snapshots, POOL)))
    assert (verdict.clean, verdict.anchored_offset) == (True, TRUE_OFFSET)
    assert [name.offset for name in snapshots.passed_over] == [FALSE_OFFSET, BEHIND_THE_END]


def test_who_verifies_without_the_key_is_told_that_nobody_checked(ledger: Ledger, store: TwinObjectStore) -> None:
    anchors = anchors_of_snapshots(PastSnapshots(store, SnapshotSeals(()), unproved=True), POOL)
    (finding,) = verify(ledger.source, POOL, Witnesses(anchors)).findings
    assert finding.invariant == "I7"
    assert UNPROVED in finding.text


def test_commands_have_the_key_of_the_embedded_stack_or_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("HEADRACE_INSTALLATION_KEYS", "HEADRACE_KAFKA", "HEADRACE_API_URL"):
        monkeypatch.delenv(name, raising=False)
    assert connection.known_installation_keys(tmp_path) == ()
    assert not ledgers.snapshots_of(Settings(), tmp_path).are_proved
    assert "reading from the first record" in capsys.readouterr().err
    Layout(tmp_path).installation_keys.write_text("ab" * 32)
    assert connection.known_installation_keys(tmp_path) == (InstallationKey(b"\xab" * 32),)
    assert ledgers.snapshots_of(Settings(), tmp_path).are_proved
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("HEADRACE_INSTALLATION_KEYS", "cd" * 32)
    assert connection.known_installation_keys(tmp_path) == (InstallationKey(b"\xcd" * 32),)
    monkeypatch.delenv("HEADRACE_INSTALLATION_KEYS")
    monkeypatch.setenv("HEADRACE_KAFKA", "elsewhere:1")
    assert connection.known_installation_keys(tmp_path) == (), "the keys are those of another installation"
