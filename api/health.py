"""GET /healthz (the process lives), /readyz (requests can be served, and which part does not do its work), /metrics.

An API serves its numbers at HEADRACE_METRICS_PORT of 127.0.0.1; at /metrics only if a setting says that all its callers
may read them."""

from __future__ import annotations

import os

from starlette.requests import Request
from starlette.responses import Response

from api.bodies import Health
from api.operations import operation
from api.readiness import Readiness
from api.replies import reply
from api.resources import resources_of
from runtime.private_memory import PROCESS_HEADER


@operation("GET", "/healthz", "The process lives.", {200: Health}, public=True)
async def healthz(request: Request) -> Response:
    return reply(Health("ok", {}))


@operation(
    "GET",
    "/readyz",
    "Whether requests can be served, and which part does not do its work.",
    {200: Health, 503: Health},
    public=True,
)
async def readyz(request: Request) -> Response:
    """503 when nothing can be served. Answers at once, from what was found in the background."""
    readiness = request.app.state.readiness
    assert isinstance(readiness, Readiness)
    health = readiness.health()
    return reply(health, 503 if health.status == "failing" else 200, {PROCESS_HEADER: str(os.getpid())})


@operation("GET", "/metrics", "Numbers for Prometheus.", {200: "text/plain"}, public=True)
async def metrics(request: Request) -> Response:
    return Response(resources_of(request).metrics.exposition(), media_type="text/plain; version=0.0.4")
