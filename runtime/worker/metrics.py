"""What a node counts, for Prometheus. No metric carries what a user wrote."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from contract.inputs import Failed, Started, Stopped, Succeeded

_reports = Counter("headrace_node_reports", "What this node reported of attempts", ["report"])
reports = {report: _reports.labels(report.__name__) for report in (Started, Succeeded, Failed, Stopped)}
sessions = Counter("headrace_node_rejoins", "Times the scheduler made this node join again")
orders_refused = Counter("headrace_node_orders_refused", "Records of the dispatch topic that are no order")
records_refused = Counter("headrace_node_records_refused", "Records that the broker refused for their size")
records_dropped = Counter("headrace_node_records_dropped", "Records refused for their size that cannot be made smaller")
children_undying = Gauge("headrace_node_children_undying", "Children that were killed and have not ended for 30 s")
deliveries_unclear = Counter("headrace_node_deliveries_unclear", "Records to `jobs` sent again for want of an ack")
