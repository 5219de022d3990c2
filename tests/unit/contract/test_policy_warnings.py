"""What is dangerous in a policy is said before it is in force."""

from __future__ import annotations

import msgspec
import pytest

from contract.durations import DAY_MS
from contract.policy_check import warnings_of
from contract.policy_document import parse
from tests.unit.contract.policy_texts import GOOD


@pytest.mark.parametrize("kept_ms", [1_000, 60_000, 3_599_999])
def test_words_kept_for_less_than_an_outage_may_last_is_dangerous(kept_ms: int) -> None:
    """Case C25."""
    (warning,) = warnings_of(msgspec.structs.replace(parse(GOOD), words_kept_ms=kept_ms))
    assert warning.startswith(f"words_kept: {kept_ms / 1000:g} s ")
    assert "say at least 1h" in warning


def test_an_hour_and_more_is_not() -> None:
    for kept_ms in (3_600_000, 3 * DAY_MS):
        assert warnings_of(msgspec.structs.replace(parse(GOOD), words_kept_ms=kept_ms)) == []
