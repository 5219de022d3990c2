"""What `verify` finds clean, and what it finds, in the ledger itself."""

from __future__ import annotations

import msgspec
import pytest

from audit.verify.jobs_topic import JobsTopic
from audit.verify.verdict import Anchor, Verdict, render
from audit.verify.verification import Witnesses, verify
from contract import events as said
from contract import inputs
from contract.batch import hash_of
from contract.codec import encode
from contract.names import payload_digest
from scheduling import RULES, snapshot
from tests.simulation.world import World
from tests.unit.audit.ledger import POOL, SALT, SECRET, Ledger, job_of, lived_in
from tests.unit.audit.verdicts import only_finding, verified


def test_a_ledger_that_was_lived_in_is_clean() -> None:
    ledger = lived_in()
    evidence = Witnesses(jobs_topic=JobsTopic(ledger.jobs, 0), acknowledged=[job_of(1), job_of(2), job_of(3)])
    verdict = verified(ledger, evidence)
    assert verdict.clean, render(verdict)
    assert verdict.counted == len(ledger.records)
    assert verdict.decided == len(ledger.records) - 2  # the two Opened are no decisions
    assert verdict.submissions == 4
    assert verdict.jobs == 3
    assert verdict.trusted_offset == verdict.last_offset == len(ledger.records) - 1
    assert verdict.state_hash == snapshot.state_hash(ledger.state)
    assert "clean" in render(verdict)


def test_an_empty_ledger_is_clean() -> None:
    verdict = verify(lambda: iter(()), POOL)
    assert verdict.clean
    assert verdict.counted == 0
    assert render(verdict) == f"ledger of pool {POOL}: empty, no scheduler has opened the pool yet"


@pytest.mark.parametrize("seed", [3, 18, 76])
def test_ledgers_of_the_simulation_are_clean_with_zombies_and_takeovers(seed: int) -> None:
    from audit.ledger.reader import JobsRecord, LedgerRecord

    world = World(seed)
    world.run()
    records = [LedgerRecord(r.offset, r.append_ms, r.value or b"") for r in world.broker.topic("ledger")]
    jobs = [JobsRecord(r.offset, r.append_ms, r.key, r.value) for r in world.broker.topic("jobs") if r.value]
    anchors = [Anchor(f"snapshot {at}", at, name, data) for at, name, data in world.snapshots.stored]
    evidence = Witnesses(anchors, JobsTopic(jobs, 0), world.api.acknowledged)
    verdict = verify(lambda: iter(records), POOL, evidence)
    assert verdict.clean, render(verdict)
    assert verdict.counted == len(world.auditor.counted)
    assert verdict.ignored == len(records) - verdict.counted
    assert set(verdict.anchors) == {anchor.source for anchor in anchors}


# -- tampering -----------------------------------------------------------------------------------------------


def test_a_flipped_byte_that_breaks_the_record_is_named() -> None:
    ledger = lived_in()
    value = bytearray(ledger.records[4].value)
    value[0] ^= 0x04
    ledger.edit(4, bytes(value))
    offset, invariant, text = only_finding(verified(ledger))
    assert (offset, invariant) == (4, "I14")
    assert "can't be read" in text


@pytest.mark.parametrize("at", range(1, 12))
def test_a_changed_byte_is_found_and_what_is_before_it_can_be_trusted(at: int) -> None:
    """The time of a record is moved by one digit: still a record, but not the one that the next one follows."""
    ledger = lived_in()
    value = ledger.records[at].value.replace(b'"elapsed_ms":', b'"elapsed_ms": ')
    ledger.edit(at, value)
    verdict = verified(ledger)
    chain = [finding for finding in verdict.findings if finding.offset == at + 1]
    assert chain, render(verdict)
    assert f"offset {at} was edited" in chain[0].text
    assert verdict.trusted_offset == at - 1
    assert f"records up to offset {at - 1}" in render(verdict)


def test_the_last_record_changed_is_found_by_deciding_again_and_by_whoever_remembers() -> None:
    ledger = lived_in()
    last = len(ledger.records) - 1
    anchor = Anchor("views", last, hash_of(ledger.records[last].value))
    ledger.edit(last, ledger.records[last].value.replace(b'"elapsed_ms":', b'"elapsed_ms": '))
    verdict = verified(ledger, Witnesses([anchor]))
    assert [(f.offset, f.invariant) for f in verdict.findings] == [(last, "I7"), (last, "I14")]
    assert "views remembers" in verdict.findings[1].text
    assert verdict.trusted_offset == last - 1


def test_a_dropped_record_is_named() -> None:
    ledger = lived_in()
    del ledger.records[5]
    verdict = verified(ledger)
    assert verdict.findings[0].offset == 6
    assert "offset 5 is missing" in verdict.findings[0].text
    assert verdict.trusted_offset == 4


def test_a_ledger_without_its_beginning_is_not_trusted_at_all() -> None:
    ledger = lived_in()
    del ledger.records[:2]
    verdict = verified(ledger)
    assert [finding.offset for finding in verdict.findings] == [2, 2]
    assert "offsets 0 to 1 are missing" in verdict.findings[0].text
    assert "none is before it" in verdict.findings[1].text
    assert verdict.trusted_offset == -1


def test_a_dropped_record_is_found_although_the_rest_was_renumbered() -> None:
    ledger = lived_in()
    del ledger.records[5]
    ledger.records = [record._replace(offset=at) for at, record in enumerate(ledger.records)]
    offset, invariant, text = only_finding(verified(ledger))
    assert (offset, invariant) == (5, "I14")
    assert "offset 4 was edited, or records after it were removed" in text


def test_two_swapped_records_are_named() -> None:
    ledger = lived_in()
    ledger.records[5], ledger.records[6] = ledger.records[6], ledger.records[5]
    verdict = verified(ledger)
    assert [f.invariant for f in verdict.findings] == ["I14", "I14"]
    assert verdict.trusted_offset == 4


def test_two_records_that_changed_places_are_named() -> None:
    ledger = lived_in()
    five, six = ledger.records[5].value, ledger.records[6].value
    ledger.edit(5, six)
    ledger.edit(6, five)
    offset, _, text = only_finding(verified(ledger))
    assert offset == 5
    assert "follows offset 4 lies at offset 6" in text


def test_an_edited_event_is_found_though_the_next_record_was_linked_to_it_again() -> None:
    ledger = lived_in()
    at, batch = _with_dispatch(ledger)
    events = tuple(
        msgspec.structs.replace(event, waited_ms=event.waited_ms + 1)
        if isinstance(event, said.JobDispatched)
        else event
        for event in batch.events
    )
    ledger.rewrite(at, msgspec.structs.replace(batch, events=events), relink=1)
    verdict = verified(ledger)
    assert [(f.offset, f.invariant) for f in verdict.findings] == [(at, "I7"), (at + 2, "I14")]
    assert "waited_ms=" in verdict.findings[0].text
    assert "JobDispatched.v1" in verdict.findings[0].text
    assert verdict.trusted_offset == at - 1


def test_a_ledger_rewritten_to_its_end_is_found_by_deciding_again_and_by_whoever_remembers() -> None:
    ledger = lived_in()
    last = len(ledger.records) - 1
    anchor = Anchor("snapshot s", last, hash_of(ledger.records[last].value), snapshot.encode(ledger.state))
    at, batch = _with_dispatch(ledger)
    events = tuple(
        msgspec.structs.replace(event, bound="limit") if isinstance(event, said.JobDispatched) else event
        for event in batch.events
    )
    ledger.rewrite(at, msgspec.structs.replace(batch, events=events), relink=-1)
    verdict = verified(ledger, Witnesses([anchor]))
    assert [(f.offset, f.invariant) for f in verdict.findings] == [(at, "I7"), (last, "I14")]
    assert verdict.undecided == last - at  # the second Opened is no decision
    assert verdict.trusted_offset == at - 1


def test_an_edited_record_whose_copy_lies_in_the_log_is_found() -> None:
    """The broker appended a record twice, then the first was edited: the next record follows the copy, so the chain
    takes the rest for a zombie's. Deciding again finds it, and whoever remembers the head does."""
    ledger = lived_in()
    last = len(ledger.records)
    anchor = Anchor("views", last, ledger.state.head_hash)
    ledger.records.insert(6, ledger.records[5])
    ledger.records = [record._replace(offset=at) for at, record in enumerate(ledger.records)]
    assert verified(ledger, Witnesses([anchor])).clean
    ledger.edit(5, ledger.records[5].value.replace(b'"elapsed_ms":', b'"elapsed_ms": '))
    verdict = verified(ledger, Witnesses([anchor]))
    assert (5, "I7") in [(f.offset, f.invariant) for f in verdict.findings]
    assert any("views" in f.text for f in verdict.findings), render(verdict)
    assert any("opened on a record that does not count" in f.text for f in verdict.findings), render(verdict)
    assert verdict.trusted_offset == 4


def test_a_cut_tail_is_found_by_whoever_remembers_it() -> None:
    ledger = lived_in()
    last = len(ledger.records) - 1
    anchor = Anchor("views", last, hash_of(ledger.records[last].value))
    del ledger.records[-2:]
    assert verified(ledger).clean
    offset, invariant, text = only_finding(verified(ledger, Witnesses([anchor])))
    assert (offset, invariant) == (-1, "I14")
    assert "its tail was cut" in text


def test_a_snapshot_of_another_state_is_found() -> None:
    ledger = lived_in()
    data = snapshot.encode(ledger.state).replace(b'"stale":{', b'"stale":{"Nothing":1,')
    at = len(ledger.records) - 1
    anchor = Anchor("snapshot s", at, ledger.state.head_hash, data)
    assert only_finding(verified(ledger, Witnesses([anchor])))[:2] == (at, "I7")


def _with_dispatch(ledger: Ledger) -> tuple[int, msgspec.Struct]:  # type: ignore[type-arg]
    for record in ledger.records:
        batch = ledger.batch(record.offset)
        if any(isinstance(event, said.JobDispatched) for event in batch.events):
            return record.offset, batch
    raise AssertionError("no dispatch")


# -- invariants that deciding again would not show by itself --------------------------------------------------


def _forged(ledger: Ledger, *events: said.Event, **header: object) -> Verdict:
    """A last record with these events, as a scheduler with other rules could have written it."""
    state = ledger.state
    batch = ledger.batch(len(ledger.records) - 1)
    batch = msgspec.structs.replace(
        batch,
        seq=state.seq + 1,
        prev_hash=state.head_hash,
        inputs=(),
        position=state.position,
        events=events,
        now_ms=ledger.now_ms,
        elapsed_ms=0,
        **header,
    )
    ledger.records.append(ledger.records[-1]._replace(offset=len(ledger.records), value=encode(batch)))
    return verified(ledger)


def test_an_event_after_the_end_is_found() -> None:
    verdict = _forged(lived_in(), said.JobCancelled(job_of(1), "cancel"))
    assert ("I2", job_of(1)) in [(f.invariant, f.job) for f in verdict.findings]


def test_a_second_acceptance_is_found() -> None:
    ledger = lived_in()
    accepted = next(
        event
        for at in range(len(ledger.records))
        for event in ledger.batch(at).events
        if type(event) is said.JobAccepted
    )
    assert "I2" in [f.invariant for f in _forged(ledger, accepted).findings]


def test_a_dispatch_over_the_limit_and_out_of_turn_is_found() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide()
    dispatched = said.JobDispatched(
        job=job_of(1),
        attempt=3,
        dispatch="1.1.0",
        node="n1",
        session="n1.a",
        cluster="east",
        waited_ms=0,
        slo_ms=1,
        next_job="",
        next_waited_ms=0,
        next_slo_ms=0,
        limit=9,
        staged=9,
        bound="nothing",
    )
    found = {f.invariant for f in _forged(ledger, dispatched).findings}
    assert "I6" in found


def test_a_node_given_up_within_its_lease_is_found() -> None:
    ledger = Ledger()
    ledger.set_up()
    found = [f for f in _forged(ledger, said.NodeLost("n1", "n1.a"), caught_up=False).findings if f.invariant == "I16"]
    assert len(found) == 2, "too early, and without having read `jobs` to its end"


def test_a_result_that_nobody_reported_is_found() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide()
    dispatch = ledger.dispatch_of(1)
    ledger.report(inputs.Started(job_of(1), dispatch))
    verdict = _forged(ledger, said.JobSucceeded(job_of(1), dispatch, "sha256:" + "e" * 64))
    assert "I8" in [f.invariant for f in verdict.findings]


# -- rules that this release does not have --------------------------------------------------------------------


def test_batches_of_other_rules_are_counted_and_their_release_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = lived_in()
    monkeypatch.setattr("audit.verify.redecide.RULES", 99)
    verdict = verified(ledger)
    assert verdict.clean, render(verdict)
    assert verdict.decided == 0
    assert [(part.rules, part.release, part.batches) for part in verdict.unknown] == [
        (RULES, "test", len(ledger.records) - 2)
    ]
    assert "release test, which wrote them, can decide them again" in render(verdict)


def test_no_verdict_quotes_a_user() -> None:
    ledger = lived_in()
    assert payload_digest(SALT, b"{}") in ledger.records[2].value.decode()
    for record in ledger.records:
        assert SECRET.encode() not in record.value
    ledger.edit(4, ledger.records[4].value.replace(b'"elapsed_ms":', b'"elapsed_ms": '))
    assert SECRET not in render(verified(ledger))
