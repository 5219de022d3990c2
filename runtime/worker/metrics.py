"""What a node counts, for Prometheus. No metric carries what a user wrote."""

from __future__ import annotations

from typing import get_args

from prometheus_client import Counter, Gauge

from contract.inputs import Report

_reports = Counter("headrace_node_reports", "What this node reported of attempts and preparations", ["report"])
reports: dict[type, Counter] = {report: _reports.labels(report.__name__) for report in get_args(Report)}
sessions = Counter("headrace_node_rejoins", "Times the scheduler made this node join again")
orders_refused = Counter("headrace_node_orders_refused", "Records of the dispatch topic that are no order")
records_refused = Counter("headrace_node_records_refused", "Records that the broker refused for their size")
records_dropped = Counter("headrace_node_records_dropped", "Records refused for their size that cannot be made smaller")
strays_killed = Counter("headrace_node_strays_killed", "Processes that children left behind and the node killed")
strays_undying = Gauge("headrace_node_strays_undying", "Killed processes of that kind that have not ended for 5 s")
slots_lost = Gauge("headrace_node_slots_lost", "Slots set aside: their child was killed and has not ended")
children_replaced = Counter(
    "headrace_node_children_replaced", "Children ended because they failed jobs in a row, or could not compute any more"
)
children_undying = Gauge("headrace_node_children_undying", "Children that were killed and have not ended for 30 s")
deliveries_unclear = Counter("headrace_node_deliveries_unclear", "Records to `jobs` sent again for want of an ack")
