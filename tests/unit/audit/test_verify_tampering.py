"""Whatever was changed in a ledger is found: bytes, order, records, the tail; and what can still be trusted."""

from __future__ import annotations

import msgspec
import pytest

from audit.verify.verdict import Anchor, render
from audit.verify.verification import Witnesses
from contract import events as said
from contract.batch import Batch, hash_of
from scheduling import snapshot
from tests.unit.audit.ledger import Ledger, lived_in
from tests.unit.audit.verdicts import only_finding, verified


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
    """One byte more: it is still a record, but not the record that the next record follows."""
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
    """The broker appended a record twice, then somebody edited the first. The next record follows the copy, so the
    chain takes the rest for a zombie's. Deciding again finds the edit, and so does whoever remembers the head."""
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


def _with_dispatch(ledger: Ledger) -> tuple[int, Batch]:
    for record in ledger.records:
        batch = ledger.batch(record.offset)
        if any(isinstance(event, said.JobDispatched) for event in batch.events):
            return record.offset, batch
    raise AssertionError("no dispatch")
