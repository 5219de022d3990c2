"""What the processors count, for Prometheus. Labels are names of ours: never a job, never a user's word."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

BATCHES = Counter("headrace_batches_total", "Ledger records written and acknowledged", ["pool"])
BATCH_SECONDS = Histogram(
    "headrace_batch_seconds",
    "From the decision of a batch to the broker's ack",
    ["pool"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30),
)
EVENTS = Counter("headrace_events_total", "Events written to the ledger", ["pool", "event"])
STALE = Counter("headrace_reports_stale_total", "Reports that no longer meant anything", ["pool"])
PREPARING = Gauge("headrace_jobs_preparing", "Jobs that wait for a CPU worker or are at one", ["pool", "tier"])
QUEUED = Gauge("headrace_jobs_queued", "Jobs waiting", ["pool", "tier"])
STAGED = Gauge("headrace_attempts_staged", "Attempts dispatched and not started", ["pool", "cluster"])
IGNORED = Counter("headrace_ledger_records_ignored_total", "Ledger records read that did not count", ["pool"])
ORDERS_FAILED = Counter("headrace_orders_failed_total", "Orders that the broker did not take", ["pool"])
REOPENED = Counter("headrace_pool_reopened_total", "Times a pool was opened anew after its host had ended", ["pool"])
RESTING = Gauge("headrace_pool_resting", "1 while a pool of this process has ended and is not opened yet", ["pool"])
RESTING_OFFSET = Gauge(
    "headrace_pool_resting_jobs_offset",
    "Offset of the first record of `jobs` that a resting pool has not decided",
    ["pool", "partition"],
)
SNAPSHOTS_MISSED = Gauge(
    "headrace_pool_snapshots_missed",
    "Snapshots in a row that could not be written there; 0: the last one was",
    ["pool", "where"],
)
SNAPSHOTS_PASSED_OVER = Counter(
    "headrace_pool_snapshots_passed_over_total",
    "Snapshots that an opening did not believe or could not read; each opening counts them again",
    ["pool", "where"],
)
QUARANTINED = Counter("headrace_records_quarantined_total", "Records copied to `quarantine`", ["topic"])
QUARANTINED_OFFSET = Gauge(
    "headrace_quarantined_offset", "Offset of the record of this partition quarantined last", ["topic", "partition"]
)
SIGNATURES_REFUSED = Counter(
    "headrace_signatures_refused_total", "Records of `jobs` that nobody signed who may write them, by why", ["kind"]
)
SIGNED = Gauge(
    "headrace_signature_seen_timestamp_seconds",
    "When this process last read a record that a role signed by a key derived from this installation key",
    ["key_id", "role"],
)
"""One installation key may be taken out of force once nobody signs by keys that are derived from it."""
UNSIGNED = Gauge("headrace_pool_unsigned", "1 while a pool of this process takes records that nobody signed", ["pool"])
INTAKE = Counter("headrace_submissions_total", "Records of `submissions` by what became of them", ["outcome"])
INTAKE_OFFSET = Gauge(
    "headrace_submissions_offset", "Offset of the next record of `submissions` to pass on", ["partition"]
)
INTAKE_WAITING = Gauge(
    "headrace_submission_waiting_seconds",
    "How long that record has been waiting; 0: nothing holds it up",
    ["partition"],
)
SUBMISSIONS_LOST = Counter(
    "headrace_submissions_lost_total",
    "Offsets of `submissions` that expired before intake had read them",
    ["partition"],
)
PROJECTED = Counter("headrace_batches_projected_total", "Ledger records folded into the views", ["pool"])
SET_ASIDE = Counter(
    "headrace_views_set_aside_total", "Jobs and events that the views cannot show, each time they met one", ["pool"]
)
