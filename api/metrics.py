"""Numbers of one API process for Prometheus. No label has a tenant, a job or any word of a user."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "headrace_api_requests", "Requests answered.", ("method", "path", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "headrace_api_request_seconds",
            "Time to answer, streams included.",
            ("path",),
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
            registry=self.registry,
        )
        self._submissions = Counter(
            "headrace_api_submissions", "Submissions by what became of them.", ("outcome",), registry=self.registry
        )
        self.streams = Gauge("headrace_api_streams", "Event streams open.", registry=self.registry)

    def request(self, method: str, path: str, status: int, elapsed_s: float) -> None:
        """`path` is the template of a route. `status` 0: the client went away before an answer."""
        self._requests.labels(method if method in _METHODS else "other", path, str(status)).inc()
        self._seconds.labels(path).observe(elapsed_s)

    def submission(self, outcome: str) -> None:
        """acknowledged, known or unclear."""
        self._submissions.labels(outcome).inc()

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
