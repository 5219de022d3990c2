"""What a node counts, for Prometheus. Nothing here ever carries what a user wrote."""

from __future__ import annotations

from prometheus_client import Counter

from contract.inputs import Failed, Started, Stopped, Succeeded

_reports = Counter("headrace_node_reports", "What this node reported of attempts", ["report"])
reports = {report: _reports.labels(report.__name__) for report in (Started, Succeeded, Failed, Stopped)}
sessions = Counter("headrace_node_rejoins", "Times the scheduler made this node join again")
deliveries_unclear = Counter("headrace_node_deliveries_unclear", "Records to `jobs` sent again for want of an ack")
