"""Around every request: an id, headers, a line in the log, metrics, and a net for exceptions that nobody expected.

The log line has the template of the path, and never a query or a body. An exception is logged by its class and the
lines that it passed through, without its message, because a message may quote what a user wrote.
"""

from __future__ import annotations

import time
import traceback
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from api.metrics import Metrics

log = structlog.get_logger(__name__)

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

ENDS = "headrace.ends"
"""In the scope of a request: what is called when the request has ended, whatever became of it."""

QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Machines ask for these every few seconds, so only failures are logged."""


class RequestGuard:
    """The outermost ASGI application."""

    def __init__(self, app: Starlette, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._templates: dict[Any, str] = {
            route.endpoint: route.path for route in app.routes if isinstance(route, Route)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex[:16]
        scope["headrace.request"] = request_id
        ends: list[Callable[[], None]] = []
        scope[ENDS] = ends
        status = 0
        begun = time.perf_counter()

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        except Exception as error:  # keeps words of users out of the log: uvicorn would log the message
            log.error("unexpected", request=request_id, error=type(error).__name__, at=_where(error))
        finally:
            for end in ends:
                end()
            self._record(scope, status, time.perf_counter() - begun, request_id)

    def _record(self, scope: Scope, status: int, elapsed_s: float, request_id: str) -> None:
        path = self._templates.get(scope.get("endpoint"), "none")
        self._metrics.request(scope["method"], path, status, elapsed_s)
        if path in QUIET_PATHS and status < 400:
            return
        log.info(
            "request",
            request=request_id,
            method=scope["method"],
            path=path,
            status=status,
            ms=round(elapsed_s * 1000, 1),
            tenant=scope.get("headrace.tenant", ""),
        )


def _where(error: BaseException) -> list[str]:
    """The lines that an exception and its causes passed through, the innermost last."""
    places: list[str] = []
    seen: Any = error
    while seen is not None and len(places) < 60:
        places.append(type(seen).__name__)
        places += [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(seen.__traceback__)
        ]
        seen = seen.__cause__
    return places
