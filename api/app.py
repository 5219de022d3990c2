"""The application: its operations, the resources that they need, and the guard around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from api import attempts, events, health, jobs, models, openapi, operators, results, submissions, uploads, why
from api.guard import RequestGuard
from api.metrics import Metrics
from api.operations import routes_of
from api.problems import HANDLERS
from api.readiness import ReadinessQuestions
from api.replies import ENDS_WITH_SLASH
from api.resources import Resources
from api.upload_sweeping import sweep_now_and_then
from runtime.settings import Settings

OPERATIONS = (
    submissions.submit,
    jobs.list_jobs,
    jobs.count_jobs,
    jobs.get_job,
    jobs.cancel_job,
    events.job_events,
    results.get_result,
    attempts.get_error,
    attempts.get_log,
    why.get_why,
    uploads.create_upload,
    uploads.list_uploads,
    uploads.get_upload,
    uploads.put_upload_data,
    uploads.complete_upload,
    uploads.delete_upload,
    models.list_models,
    models.get_model,
    operators.list_clusters,
    operators.list_nodes,
    operators.get_policy,
    health.healthz,
    health.readyz,
    openapi.show_document,
    openapi.show_page,
)
OPERATIONS_WITH_METRICS = (*OPERATIONS, health.metrics)
"""Where a setting says that whoever reaches the API may read the numbers of its process."""
ROUTES = routes_of(OPERATIONS)
DOCUMENT = msgspec.json.encode(openapi.document(OPERATIONS))
PAGE = openapi.page(OPERATIONS)


class Application:
    """The ASGI application of one process. It connects when it starts and disconnects when it ends."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._resources: Resources | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        routes, document, page = ROUTES, DOCUMENT, PAGE
        if settings.api_metrics_public:
            routes = routes_of(OPERATIONS_WITH_METRICS)
            document = msgspec.json.encode(openapi.document(OPERATIONS_WITH_METRICS))
            page = openapi.page(OPERATIONS_WITH_METRICS)
        self._starlette = Starlette(routes=routes, exception_handlers=HANDLERS, lifespan=self._lifespan)
        self._starlette.router.redirect_slashes = False  # to a host and scheme that this process can only guess
        self._starlette.state.document, self._starlette.state.page = document, page
        self._guard = RequestGuard(self._starlette, self.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guard(without_slash(without_prefix(scope, self.settings.api_prefix)), receive, send)

    def connect(self) -> Resources:
        """Makes what the process connects with, once. What `Resources` raises: settings that cannot be used. A server
        would tell of that by a stack trace, so whoever starts the server connects first."""
        if self._resources is None:
            self._resources = Resources(self.settings, self.metrics)
        return self._resources

    def end_streams(self) -> None:
        """Ends all event streams, which would keep a stopping server. Safe in any thread and in a signal handler."""
        if self._resources is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._resources.hub.close)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        resources = app.state.resources = self.connect()
        resources.start()
        questions = ReadinessQuestions(resources)
        app.state.readiness = readiness = questions.readiness(signs=resources.signer.signs)
        readiness.start()
        sweeping = asyncio.create_task(sweep_now_and_then(resources.engine, resources.store))
        try:
            yield
        finally:
            sweeping.cancel()
            await readiness.close()
            questions.close()
            await resources.close()


def without_prefix(scope: Scope, prefix: str) -> Scope:
    """The request as if no gateway had left this prefix in front of its path. Requests without it come too, past the
    gateway: of whoever asks for readiness."""
    path = scope.get("path", "")
    if not prefix or not f"{path}/".startswith(f"{prefix}/"):
        return scope
    return {**scope, "path": path.removeprefix(prefix) or "/"}


def without_slash(scope: Scope) -> Scope:
    """The request as if its path did not end with a slash, which gateways and people add. `location` is told of it."""
    path = scope.get("path", "")
    if len(path) < 2 or not path.endswith("/"):
        return scope
    return {**scope, "path": path[:-1], ENDS_WITH_SLASH: True}
