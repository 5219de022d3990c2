"""A wait is divided among its causes exactly, in integers."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from audit.waits.causes import Cause, CauseGroup, Shares, apportioned


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=20), st.integers(0, 1_000_000))
def test_integers_are_apportioned_exactly(shares: list[int], whole: int) -> None:
    parts = apportioned(dict(enumerate(shares)), whole)
    total = sum(shares)
    assert sum(parts.values()) == (whole if total else 0)
    if total:
        assert all(abs(parts[i] - Fraction(share * whole, total)) < 1 for i, share in enumerate(shares))


@given(st.lists(st.tuples(st.integers(0, 50), st.lists(st.integers(0, 3), min_size=1, max_size=7)), max_size=60))
def test_many_short_stretches_over_many_slots_favour_nobody(stretches: list[tuple[int, list[int]]]) -> None:
    """Each stretch has fewer milliseconds than there are slots: whole milliseconds would leave some causes nothing."""
    shares, at_ms = Shares(), 0
    exact: dict[Cause, Fraction] = {}
    for ms, slots in stretches:
        causes = [Cause(CauseGroup.OUTRANKED, tier=str(slot)) for slot in slots]
        weights = {cause: causes.count(cause) for cause in causes}
        shares.split(weights, at_ms, at_ms + ms)
        for cause, weight in weights.items():
            exact[cause] = exact.get(cause, Fraction(0)) + Fraction(ms * weight, len(slots))
        at_ms += ms
    settled = shares.settled()
    assert sum(share.ms for share in settled.values()) == at_ms
    assert all(abs(share.ms - exact[cause]) < 1 for cause, share in settled.items())
