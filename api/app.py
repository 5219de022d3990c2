"""The application: routes, what they need, and what surrounds them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api import events, health, index, jobs, models, openapi, operators, results, submissions, why
from api.guard import RequestGuard
from api.metrics import Metrics
from api.problems import HANDLERS
from api.resources import Resources
from runtime.settings import Settings


async def jobs_door(request: Request) -> Response:
    """One route for both methods, so that a wrong one is told of both."""
    return await (submissions.submit if request.method == "POST" else jobs.list_jobs)(request)


ROUTES = (
    Route("/v1/jobs", jobs_door, methods=["GET", "POST"]),
    Route("/v1/jobs/counts", jobs.count_jobs),
    Route("/v1/jobs/{job}", jobs.get_job),
    Route("/v1/jobs/{job}/cancel", jobs.cancel_job, methods=["POST"]),
    Route("/v1/jobs/{job}/events", events.job_events),
    Route("/v1/jobs/{job}/result", results.get_result),
    Route("/v1/jobs/{job}/why", why.get_why),
    Route("/v1/models", models.list_models),
    Route("/v1/models/{model}", models.get_model),
    Route("/v1/clusters", operators.list_clusters),
    Route("/v1/nodes", operators.list_nodes),
    Route("/v1/policy", operators.get_policy),
    Route("/healthz", health.healthz),
    Route("/readyz", health.readyz),
    Route("/metrics", health.metrics),
    Route("/openapi.json", openapi.openapi),
    Route("/", index.index),
)


class Application:
    """The ASGI application of one process. Connections are made at its start and closed at its end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._resources: Resources | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starlette = Starlette(routes=list(ROUTES), exception_handlers=HANDLERS, lifespan=self._lifespan)
        self._guard = RequestGuard(self._starlette, self._metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guard(scope, receive, send)

    def end_streams(self) -> None:
        """Event streams would keep a stopping server waiting. Safe in any thread and in a signal's handler."""
        if self._resources is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._resources.hub.close)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        resources = Resources(self._settings, self._metrics)
        resources.start()
        self._resources = app.state.resources = resources
        app.state.probes = health.probes_of(resources)
        try:
            yield
        finally:
            await resources.close()
