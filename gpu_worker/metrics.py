"""What a node counts, for Prometheus. Nothing here ever carries what a user wrote."""

from __future__ import annotations

from prometheus_client import Counter

attempts = Counter("headrace_node_attempts", "Attempts ended on this node, by report", ["report"])
sessions = Counter("headrace_node_rejoins", "Times the scheduler made this node join again")
deliveries_unclear = Counter("headrace_node_deliveries_unclear", "Records to `jobs` sent again for want of an ack")
