"""A recorded ledger under another policy, limit or capacity; and under its own, which must give what was recorded."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest

from contract.events import JobDispatched
from contract.policy import Tier
from tests.unit.audit.ledger import POLICY, POOL, START_MS, Ledger, job_of, lived_in
from tests.unit.whatif.played import NOTHING, busy, order_of, played
from tests.unit.whatif.simulations import arrivals, poisson, policy
from whatif.compare import CHANGED, IN_FORCE, RECORDED, Changes, Comparison, NotComparable, of_ledger, of_trace, resized
from whatif.diff import write_diff
from whatif.plot import draw
from whatif.recorded import LedgerEmpty, recorded
from whatif.simulation.simulation import Simulation


def test_its_own_policy_gives_the_recorded_order_of_dispatches() -> None:
    ledger = busy()
    given = recorded(ledger.past)
    seen: list[str] = []
    simulation = Simulation(
        given.policies[0][1],
        given.versions,
        given.arrivals,
        given.fleet,
        batch_ms=100,
        observer=lambda _, events: seen.extend(e.job for e in events if isinstance(e, JobDispatched)),
    ).run()
    assert len(given.arrivals) == 12
    assert seen == order_of(ledger)
    assert seen != sorted(seen)
    apart = [abs(is_ms - was_ms) for is_ms, was_ms in zip(simulation.site.start_ms, given.start_ms, strict=True)]
    assert max(apart) <= 1_500  # steps of 100 ms add up along a slot


def test_what_was_recorded_is_read() -> None:
    ledger = busy()
    given = recorded(ledger.past)
    assert [given.arrivals[0].tier, given.arrivals[2].tier] == ["free", "api"]
    assert given.arrivals.jobs[0] == job_of(1)
    assert given.arrivals[0].at_ms == START_MS + 100 + 400
    assert given.arrivals[0].service_ms in (3_200, 3_300)  # 3,170 ms in steps of 100 ms
    assert [move.machine.slots for move in given.fleet.moves if move.machine] == [2]
    assert given.policies == [(START_MS + 100, msgspec.structs.replace(POLICY, may_starve=True))]
    assert given.left_out == {}


def test_jobs_without_a_result_are_counted_and_left_out() -> None:
    given = recorded(lived_in().past)
    assert len(given.arrivals) == 1
    assert given.left_out == {"cancelled": 1, "waits or runs still": 1}


def test_twice_the_slots_make_waits_shorter_and_the_rest_stays() -> None:
    given = recorded(busy().past)
    compared = of_ledger(given, Changes(slots={"east": 4}), NOTHING)
    columns = {column.name: column.outcome.overall for column in compared.summary.columns}
    assert list(columns) == [RECORDED, IN_FORCE, CHANGED]
    assert columns[CHANGED].mean_ms < columns[IN_FORCE].mean_ms / 2
    assert columns[IN_FORCE].mean_ms == pytest.approx(columns[RECORDED].mean_ms, rel=0.1)
    assert compared.summary.changes == ["capacity of east: 4 slots"]


def test_another_discipline_orders_otherwise() -> None:
    """With tiers swapped, the urgent tier is the patient tier."""
    given = recorded(busy().past)
    other = msgspec.structs.replace(POLICY, tiers={"api": Tier(100_000), "free": Tier(10_000)})
    compared = of_ledger(given, Changes(policy=other), NOTHING)
    mean = {column.name: column.outcome.tiers["api"].mean_ms for column in compared.summary.columns}
    assert mean[CHANGED] > mean[IN_FORCE]
    assert any(change.startswith("SLO of api: 100 s in place of 10 s") for change in compared.summary.changes)


def test_a_limit_changes_what_is_dispatched_ahead() -> None:
    given = recorded(busy().past)
    compared = of_ledger(given, Changes(limits={"east": 1}), NOTHING)
    assert compared.summary.changes == ["limit of east: 1"]
    assert len(compared.starts_ms[CHANGED]) == 12


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (Changes(limits={"west": 1}), "--limit: expected a cluster of the policy"),
        (Changes(slots={"west": 1}), "--capacity: expected a cluster that had a node"),
        (
            Changes(policy=policy({"api": 1_000})),
            "expected every tier of the jobs in the policy, found none called free",
        ),
    ],
)
def test_changes_that_do_not_fit_the_record_are_refused(changes: Changes, said: str) -> None:
    with pytest.raises(NotComparable, match=said):
        of_ledger(recorded(busy().past), changes, NOTHING)


def test_a_node_that_was_lost_is_lost_again() -> None:
    ledger = played({200: [(1, "free")], 300: [(2, "free")]}, lambda _: 3_000, 5_000)
    for _ in range(4):
        ledger.decide(passed_ms=10_000)
    given = recorded(ledger.past)
    assert [(move.step.name, move.node) for move in given.fleet.moves] == [("JOIN", "n1"), ("LOSE", "n1")]
    assert given.fleet.moves[1].at_ms == START_MS + 5_000  # when it was heard last
    both = resized(given.fleet, {"east": 3})
    assert [move.machine.slots for move in both.moves if move.machine] == [2, 1]


def test_the_record_before_the_damage_is_used_and_the_damage_named() -> None:
    ledger = busy()
    middle = len(ledger.records) // 4
    ledger.edit(middle, ledger.records[middle].value.replace(b'"caught_up":true', b'"caught_up":false'))
    given = recorded(ledger.past)
    assert given.damage is not None
    assert given.damage.offset == middle + 1
    assert given.damage.trusted_offset == middle - 1
    assert "edited" in given.damage.text
    assert 0 < len(given.arrivals) < 12
    assert given.left_out["waits or runs still"] > 0


def test_an_event_of_a_job_that_nobody_knows_is_damage() -> None:
    ledger = busy()
    offset = next(o for o in range(len(ledger.records)) if b"JobAccepted" in ledger.records[o].value)
    batch = ledger.batch(offset)
    kept = tuple(event for event in batch.events if type(event).__name__ != "JobAccepted")
    ledger.rewrite(offset, msgspec.structs.replace(batch, events=kept), relink=-1)
    with pytest.raises(
        LedgerEmpty, match=r"nothing to simulate; the ledger is damaged at offset 5: .* trusted up to offset 4 "
    ):
        recorded(ledger.past)


def test_an_empty_ledger_says_so() -> None:
    with pytest.raises(LedgerEmpty, match="expected jobs with a result"):
        recorded(Ledger().past)


def compared_trace() -> Comparison:
    given = poisson(1, 300, 1.8, {"api": 1, "free": 2})
    rules = policy({"api": 30_000, "free": 300_000})
    fifo = msgspec.structs.replace(rules, discipline="fifo")
    return of_trace(given, {"a": rules, "b": fifo}, POOL, Changes(slots={"east": 2}), NOTHING)


def test_a_trace_needs_machines() -> None:
    given = arrivals([(0, "api", 1_000)])
    with pytest.raises(
        NotComparable, match=r"--capacity CLUSTER=SLOTS for each cluster of pool main, found none for east"
    ):
        of_trace(given, {"a": policy({"api": 1_000})}, POOL, Changes(), NOTHING)
    elsewhere = msgspec.structs.replace(policy({"api": 1_000}), pools={})
    with pytest.raises(NotComparable, match="expected pool main in the policy"):
        of_trace(given, {"a": elsewhere}, POOL, Changes(slots={"east": 1}), NOTHING)


def test_the_diff_has_a_row_for_each_job() -> None:
    out = io.StringIO()
    write_diff(compared_trace(), out)
    rows = [line.split(",") for line in out.getvalue().splitlines()]
    assert rows[0] == ["job", "arrival_ms", "tier", "tenant", "model", "run_ms", "wait_ms a", "wait_ms b", "longer_ms"]
    assert len(rows) == 301
    assert all(int(row[8]) == int(row[7]) - int(row[6]) for row in rows[1:])


def test_the_picture_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(compared_trace(), tmp_path / "waits.png")
    assert (tmp_path / "waits.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="xyz"):
        draw(compared_trace(), tmp_path / "waits.xyz")
