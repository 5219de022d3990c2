"""A broker that is away must not fill the logs."""

from __future__ import annotations

import pytest

from runtime import kafka_records
from runtime.kafka_records import CLIENT, COMPLAIN_EVERY_S, Complaints


def test_one_complaint_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(f"{kafka_records.__name__}.time.monotonic", lambda: now[0])
    complaints = Complaints()
    assert [complaints.due() for _ in range(3)] == [True, False, False]
    now[0] += COMPLAIN_EVERY_S
    assert [complaints.due() for _ in range(2)] == [True, False]


def test_no_client_is_bound_to_one_family_of_addresses() -> None:
    """With `v4` a broker that has an address of IPv6 only is never reached, and nothing says why."""
    assert "broker.address.family" not in CLIENT
