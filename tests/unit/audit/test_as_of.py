"""The state at a past moment, and which moments there are."""

from __future__ import annotations

import msgspec
import pytest

from audit.as_of import AHEAD_MAX_MS, MomentInvalid, TrialThen, as_of, describe, moment
from audit.ledger.damage import NotBelieved
from audit.ledger.past import LedgerPast
from audit.ledger.reader import LedgerRecord
from contract import inputs
from contract.policy import fingerprint
from scheduling import invariants
from tests.simulation.world import World
from tests.unit.audit.ledger import POLICY, START_MS, VERSION, Ledger, job_of, lived_in
from tests.unit.audit.pasts import Store, folded, past_of

NOW_MS = START_MS + 10**9


def test_the_state_between_two_records_is_that_after_the_first() -> None:
    ledger = Ledger()
    ledger.set_up()
    for number in range(1, 7):
        ledger.submit(number, tier="api" if number == 6 else "free")
    ledger.decide()
    then_ms = ledger.now_ms + 50
    ledger.succeed(1)
    state = as_of(past_of(ledger), then_ms, NOW_MS)
    assert (state.recorded_ms, state.offset) == (then_ms - 50, 2)
    assert [(t.tier, t.queued, t.staged, t.running) for t in state.tiers] == [("api", 0, 1, 0), ("free", 3, 2, 0)]
    assert state.tiers[1].oldest_ms == 150
    assert [(c.cluster, c.state, c.limit, c.staged, c.running, c.nodes, c.slots) for c in state.clusters] == [
        ("east", "active", POLICY.clusters["east"].limit, 3, 0, 1, 2)
    ]
    assert [(n.node, n.staged, n.running, n.draining) for n in state.nodes] == [("n1", 3, 0, False)]
    assert [(a.model, a.alias, a.version) for a in state.aliases] == [("film", "live", VERSION)]
    assert state.policy == ledger.state.fingerprint
    assert state.ended == 0


def test_every_moment_has_the_state_that_a_fold_up_to_it_has() -> None:
    """A world with takeovers and zombies, at each record's time and just before the next record."""
    world = World(3)
    world.run()
    records = [LedgerRecord(r.offset, r.append_ms, r.value or b"") for r in world.broker.topic("ledger")]
    past = LedgerPast("main", lambda first: iter(records[first:]))
    last = as_of(past, 2 * 10**12, 2 * 10**12)
    began_ms = max(record.append_ms for record in world.broker.topic("ledger")[:10])  # the clock jumps
    times = sorted({max(began_ms, last.recorded_ms - back) for back in range(0, 60_000, 1_500)})
    states = [as_of(past, at_ms, 2 * 10**12) for at_ms in times]
    assert len({state.offset for state in states}) > 10
    for at_ms, state in zip(times, states, strict=True):
        assert state.recorded_ms <= at_ms
        assert sum(c.staged for c in state.clusters) == sum(t.staged for t in state.tiers)
    assert [s.offset for s in states] == sorted(s.offset for s in states)
    assert all(n.running <= n.slots for s in states for n in s.nodes)


def test_from_a_snapshot_comes_the_same_without_the_ledgers_beginning() -> None:
    ledger, store = lived_in(), Store()
    store.keep(folded(ledger, 6))
    at_ms = folded(ledger, 9).now_ms
    past = past_of(ledger, store)
    assert as_of(past, at_ms, NOW_MS) == as_of(past_of(ledger), at_ms, NOW_MS)
    assert past.read_from == [6]


def test_after_the_last_record_the_state_is_still_that() -> None:
    ledger = lived_in()
    assert as_of(past_of(ledger), NOW_MS, NOW_MS) == describe(ledger.state, NOW_MS)
    assert invariants.check(ledger.state) == []


def test_a_moment_before_the_ledger_began() -> None:
    with pytest.raises(MomentInvalid, match=r"since the ledger of pool main began, .*it begins at 2026-"):
        as_of(past_of(lived_in()), START_MS - 1, NOW_MS)


def test_a_first_record_that_knew_no_time_is_no_beginning() -> None:
    """A pool's first scheduler has heard no append time when it writes its Opened."""
    ledger = Ledger(0)
    ledger.now_ms = START_MS
    ledger.set_up()
    with pytest.raises(MomentInvalid, match=r"it begins at 2026-09-21 14:13:20\.100 UTC"):
        as_of(past_of(ledger), START_MS, NOW_MS)
    assert as_of(past_of(ledger), START_MS + 100, NOW_MS).offset == 1


def test_a_moment_that_has_not_been() -> None:
    with pytest.raises(MomentInvalid, match="expected a moment that has been"):
        as_of(past_of(lived_in()), NOW_MS + AHEAD_MAX_MS + 1, NOW_MS)


def test_damage_before_the_moment_is_said_with_what_can_be_trusted_and_damage_after_it_is_no_matter() -> None:
    ledger = lived_in()
    times = [ledger.batch(at).now_ms for at in range(len(ledger.records))]
    ledger.edit(9, b"{}")
    past = past_of(ledger)
    with pytest.raises(NotBelieved, match=r"damaged at offset 9: .* trusted up to offset 8 \(2026-.* ask for what"):
        as_of(past, times[10], NOW_MS)
    assert as_of(past, times[8], NOW_MS).offset == 8
    assert as_of(past, times[6], NOW_MS).offset == 6


def test_a_cut_tail_is_said_for_moments_after_what_is_left() -> None:
    ledger, store = lived_in(), Store()
    store.keep(folded(ledger, 10))
    left_ms = ledger.batch(8).now_ms
    del ledger.records[9:]
    past = past_of(ledger, store)
    with pytest.raises(NotBelieved, match="its tail was cut; it can be trusted up to offset 8"):
        as_of(past, NOW_MS, NOW_MS)
    assert as_of(past, left_ms, NOW_MS).offset == 8


def test_it_names_no_job() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide()
    assert job_of(1).encode() not in msgspec.json.encode(as_of(past_of(ledger), NOW_MS, NOW_MS))


@pytest.mark.parametrize(
    ("text", "before_ms"),
    [
        ("now", 0),
        ("90s ago", 90_000),
        ("2h ago", 7_200_000),
        ("2h30m ago", 9_000_000),
        ("1d 6h ago", 108_000_000),
        ("500ms", 500),
        ("1w", 604_800_000),
    ],
)
def test_a_duration_counts_back_from_now(text: str, before_ms: int) -> None:
    assert moment(text, NOW_MS) == NOW_MS - before_ms


@pytest.mark.parametrize(
    "text",
    ["2026-09-21T14:13:20Z", "2026-09-21T14:13:20+00:00", "2026-09-21 16:13:20+02:00", " 2026-09-21T14:13:20.000Z "],
)
def test_a_time_is_read_with_its_zone(text: str) -> None:
    assert moment(text, NOW_MS) == START_MS


def test_a_fraction_of_a_second_is_kept_exactly() -> None:
    assert moment("2026-09-21T14:13:20.123Z", NOW_MS) == START_MS + 123


@pytest.mark.parametrize(
    "text", ["", "yesterday", "ago", "2 hours ago", "26:00", "2026-13-01", "-2h", "99999999999999d"]
)
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(MomentInvalid, match="expected a time since 1970 like 2026"):
        moment(text, NOW_MS)


def test_a_trial_is_part_of_the_state_with_what_it_has_counted() -> None:
    ledger = Ledger()
    ledger.set_up()
    other = msgspec.structs.replace(POLICY, discipline="fifo")
    ledger.decide(inputs.PolicyApplied(other, fingerprint(other), 950, 20))
    for number in (1, 2):
        ledger.submit(number, tier="api")
    ledger.decide()
    ledger.report(inputs.Started(job_of(1), ledger.dispatch_of(1)))
    ledger.decide(
        inputs.NodeReport("n1", "n1.a", (inputs.Started(job_of(2), ledger.dispatch_of(2)),)), passed_ms=20_000
    )
    found = as_of(ledger.past, ledger.now_ms, NOW_MS)
    assert found.policy == fingerprint(other)
    assert found.trial == TrialThen(fingerprint(POLICY), 950, 20, 2, 1)
    assert as_of(ledger.past, START_MS + 100, NOW_MS).trial is None
