"""Where a chain of hashes breaks: which record was edited, removed, or put out of order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from audit.ledger.reader import LedgerRecord, LedgerSource
from contract.batch import hash_of
from contract.chain import Chain, Damaged
from contract.codec import Malformed, decode_batch


class Diagnosis(NamedTuple):
    """What a break in the chain means."""

    text: str
    head_is_suspect: bool
    """The last record that counted may be the edited record, so it can't be trusted either."""


def diagnose(source: LedgerSource, record: LedgerRecord, chain: Chain, damage: Damaged) -> Diagnosis:
    """`chain` refused `record`: the records after it say which record is wrong."""
    try:
        prev_hash = decode_batch(record.value).prev_hash
    except Malformed as malformed:
        return Diagnosis(f"the record can't be read, so it was edited or cut: {malformed}", False)
    if prev_hash == chain.head_hash:
        return Diagnosis(f"it follows offset {chain.offset} and contradicts it: {_said(damage)}", False)
    if chain.offset < 0:
        return Diagnosis(
            f"it follows a record with hash {prev_hash[:16]}, and none is before it: what was there was removed",
            False,
        )
    own_hash = hash_of(record.value)
    followed, is_last = False, True
    for offset, follows in _links_after(source, record.offset):
        if follows == chain.head_hash:
            text = f"the record that follows offset {chain.offset} lies at offset {offset}: the order was changed"
            return Diagnosis(text, False)
        followed, is_last = followed or follows == own_hash, False
    if not followed and not is_last:
        return Diagnosis(
            f"it does not follow offset {chain.offset}, and nothing follows it: it was edited or replaced", False
        )
    return Diagnosis(
        f"it follows a record with hash {prev_hash[:16]}, and offset {chain.offset} has {chain.head_hash[:16]}:"
        f" offset {chain.offset} was edited, or records after it were removed",
        True,
    )


def _links_after(source: LedgerSource, offset: int) -> Iterator[tuple[int, str]]:
    """(offset, prev_hash) of each readable record after this offset."""
    for record in source():
        if record.offset > offset:
            try:
                yield record.offset, decode_batch(record.value).prev_hash
            except Malformed:
                continue


def _said(damage: Damaged) -> str:
    return f"expected {damage.expected}, found {damage.found}"
