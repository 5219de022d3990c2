"""Every metric of the processors says what it counts, under a name of ours and with labels of ours."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from streams import metrics

ALL = [found for found in vars(metrics).values() if isinstance(found, Counter | Gauge | Histogram)]
LABELS = {"kind", "where", "pool", "event", "tier", "cluster", "partition", "topic", "outcome", "role", "key_id"}
"""Words that we give, and none that a user gives."""


def test_metrics_have_names_of_ours_and_say_what_they_count() -> None:
    assert len(ALL) > 15
    for metric in ALL:
        (family,) = metric.describe()
        assert family.name.startswith("headrace_")
        assert len(family.documentation) > 10
        assert set(metric._labelnames) <= LABELS
