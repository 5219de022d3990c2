"""GET /v1/jobs/{job}/events: the life of a job as Server-Sent Events, until the job has ended or is unreadable.

`state` events come from the views. Each has an id (`seq.index`), so a client that lost the connection goes on with
Last-Event-ID. `progress` events have no id, because only the newest matters. `follow=false` gives what has happened so
far and ends. A comment every KEEP_ALIVE_S seconds keeps proxies from closing the connection; as often the key is looked
at again, and a stream whose key was revoked ends.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import AppStatus
from starlette.requests import Request
from starlette.responses import Response

from api.bodies import JobEvent, ProgressBody
from api.callers import authenticate, end_share, secret_of
from api.guard import ENDS
from api.hub import FeedPosition, Subscription
from api.operations import header, in_path, operation, query
from api.problems import Problem
from api.replies import own_job, parameters
from api.resources import Resources, resources_of
from contract.lifecycle import TERMINAL
from views import queries
from views.rows import UNREADABLE, JobEventRow

KEEP_ALIVE_S = 15.0
LINE_END = "\n"
RETRY_MS = 2_000
"""A client that lost the connection waits so long before it connects again."""

_OVER = TERMINAL | {UNREADABLE}
"""After these states a stream ends. The views cannot show what becomes of an unreadable job."""

AppStatus.enable_automatic_graceful_drain = False
"""The hub ends the streams of this server (Application.end_streams). sse-starlette would set a flag of the process,
which ends the streams of every later server too."""

_EVENT_ID = re.compile(r"(\d{1,18})\.(\d{1,9})")


@operation(
    "GET",
    "/v1/jobs/{job}/events",
    "State changes (`state`, a JobEvent) and progress (`progress`, a ProgressBody) until the job has ended.",
    {200: "text/event-stream", 204: ""},
    problems=(404, 422, 503),
    parameters=(
        in_path("job"),
        query("follow", {"type": "boolean", "default": True}, "false: what happened so far, then the end."),
        header("Last-Event-ID", "Go on after this event."),
    ),
)
async def job_events(request: Request) -> Response:
    key = await authenticate(request)
    follow = parameters(request, "follow").get("follow", "true")
    if follow not in ("true", "false"):
        raise Problem(422, "parameter-invalid", f"follow: expected true or false, found {follow[:80]!r}")
    seen = last_seen(request.headers.get("Last-Event-ID", ""))
    row = await own_job(request, key.tenant)
    resources = resources_of(request)
    if follow == "false":
        happened = await resources.read(queries.job_events, key.tenant, row.job, after=seen)
        return Response(b"".join(_state(row, key.id).encode() for row in happened), media_type="text/event-stream")
    if row.state in _OVER and not await resources.read(queries.job_events, key.tenant, row.job, after=seen, limit=1):
        return Response(status_code=204)  # tells an EventSource not to connect again
    if resources.hub.is_full_for(key.tenant):
        raise Problem(
            429, "too-many-streams", "too many event streams of yours are open: end some, or poll", retry_after_s=5
        )
    if resources.hub.is_full:
        raise Problem(
            503, "too-many-streams", "too many event streams are open: poll the job, or try again", retry_after_s=5
        )
    end_share(request)  # a stream is counted by the hub: it lasts as long as the job
    subscription = _subscribed(request, resources, key.tenant, row.job, seen)
    return EventSourceResponse(
        _stream(resources, secret_of(request.headers.get("Authorization")), key.id, subscription),
        ping=KEEP_ALIVE_S,
        ping_message_factory=lambda: ServerSentEvent(comment="still here", sep=LINE_END),
        sep=LINE_END,
    )


def last_seen(event_id: str) -> FeedPosition:
    """(seq, index) of a Last-Event-ID header. Without a header: a place before every event. Problem 422."""
    if not event_id:
        return (-1, -1)
    match = _EVENT_ID.fullmatch(event_id)
    if match is None:
        raise Problem(
            422, "event-id-invalid", f"Last-Event-ID: expected an id of this stream like 12.0, found {event_id[:80]!r}"
        )
    return int(match[1]), int(match[2])


def frame(event: str, data: bytes, event_id: str | None = None) -> ServerSentEvent:
    """One event as it goes over the wire. `data` is JSON."""
    return ServerSentEvent(data.decode(), event=event, id=event_id, sep=LINE_END)


def _state(row: JobEventRow, key: str) -> ServerSentEvent:
    return frame("state", msgspec.json.encode(JobEvent.of(row, key)), f"{row.seq}.{row.index}")


def _subscribed(request: Request, resources: Resources, tenant: str, job: str, seen: FeedPosition) -> Subscription:
    """A place among the streams until the request ends. It is taken before anything is awaited: of many requests at one
    moment each would find room otherwise."""
    subscription = resources.hub.subscribe(tenant, job, seen)

    def end() -> None:
        resources.hub.unsubscribe(subscription)
        resources.metrics.streams.set(resources.hub.count)

    request.scope[ENDS].append(end)
    resources.metrics.streams.set(resources.hub.count)
    return subscription


async def _stream(
    resources: Resources, secret: str, key: str, subscription: Subscription
) -> AsyncIterator[ServerSentEvent]:
    now_s = asyncio.get_running_loop().time
    look_s = now_s() + KEEP_ALIVE_S
    yield ServerSentEvent(retry=RETRY_MS, sep=LINE_END)
    while not subscription.closed:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(look_s):
                await subscription.ready.wait()
        if now_s() >= look_s:
            if not await resources.keys.is_in_force(secret):
                return
            look_s = now_s() + KEEP_ALIVE_S
        events, progress = subscription.take()
        for row in events:
            yield _state(row, key)
        if events and events[-1].state in _OVER:
            return
        if progress is not None:
            yield frame("progress", msgspec.json.encode(ProgressBody.of(progress)))
