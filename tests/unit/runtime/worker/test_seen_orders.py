"""Which orders are strays or repeats."""

from __future__ import annotations

import pytest

from runtime.worker.rules import seen_orders
from runtime.worker.rules.seen_orders import SeenOrders


def test_an_order_of_a_scheduler_that_was_replaced_does_not_count_in_its_pool() -> None:
    seen = SeenOrders()
    assert [seen.accept_epoch("main", epoch) for epoch in (2, 2, 1, 3, 2)] == [True, True, False, True, False]
    assert seen.accept_epoch("other", 1)


def test_of_one_job_only_a_greater_dispatch_counts_by_its_numbers() -> None:
    seen = SeenOrders()
    dispatches = ("1.9.0", "1.9.0", "1.10.0", "1.9.1", "2.0.0", "1.99.99")
    assert [seen.accept_dispatch("a", dispatch) for dispatch in dispatches] == [True, False, True, False, True, False]
    assert seen.accept_dispatch("b", "1.1.0")


@pytest.mark.parametrize(("job", "dispatch"), [("", "1.1.0"), ("a", "nonsense"), ("a", "1.1"), ("a", "")])
def test_what_names_no_attempt_is_not_accepted(job: str, dispatch: str) -> None:
    assert not SeenOrders().accept_dispatch(job, dispatch)


def test_the_job_seen_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_orders, "SEEN_MAX", 2)
    seen = SeenOrders()
    for job, dispatch in (("a", "1.1.0"), ("b", "1.2.0"), ("a", "1.3.0"), ("c", "1.4.0")):
        assert seen.accept_dispatch(job, dispatch)
    assert not seen.accept_dispatch("a", "1.3.0"), "it was seen again after b"
    assert seen.accept_dispatch("b", "1.2.0")
