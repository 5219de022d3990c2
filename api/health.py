"""GET /healthz (the process lives), /readyz (what the process needs answers), /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.bodies import Health
from api.operations import operation
from api.replies import reply
from api.resources import Resources, resources_of
from contract.topics import PROGRESS
from runtime.kafka import offsets
from runtime.object_store import StoreAway
from runtime.object_store_health import OK, ObjectStoreHealth, ask, store_of_moment
from runtime.postgres_troubles import DATABASE_ERRORS, in_a_sentence
from views import queries

PROBE_TIMEOUT_S = 3.0


@operation("GET", "/healthz", "The process lives.", {200: Health}, public=True)
async def healthz(request: Request) -> Response:
    return reply(Health("ok", {}))


@operation(
    "GET",
    "/readyz",
    "What the process needs answers, or which part does not.",
    {200: Health, 503: Health},
    public=True,
)
async def readyz(request: Request) -> Response:
    """503 when a part does not answer. The body names the part."""
    probes: dict[str, Probe] = request.app.state.probes
    states = await asyncio.gather(*(probe.state() for probe in probes.values()))
    found = dict(zip(probes, states, strict=True))
    ready = all(state == "ok" for state in states)
    waiting = probes["policy"].found or []
    unreadable = {view.pool: view.unreadable for view in probes["postgres"].found or [] if view.unreadable}
    return reply(Health("ok" if ready else "failing", found, waiting, unreadable), 200 if ready else 503)


def probes_of(resources: Resources) -> dict[str, Probe]:
    health = ObjectStoreHealth(partial(ask, store_of_moment(resources.settings), "api"))
    return {
        "kafka": Probe(lambda: asyncio.to_thread(offsets, resources.settings.kafka, PROGRESS, 0)),
        "postgres": Probe(lambda: resources.read_if_writable(queries.pools)),
        "object_store": Probe(lambda: asyncio.to_thread(_ask_store, health)),
        "policy": Probe(lambda: _policy_in_force(resources)),
    }


def _ask_store(health: ObjectStoreHealth) -> None:
    said = health.state()
    if said != OK:
        raise StoreAway(said)


class NoPolicyYet(Exception):
    """The views show no policy in any pool, so nothing can be submitted."""


async def _policy_in_force(resources: Resources) -> list[str]:
    """Pools without a policy in force. NoPolicyYet when no pool has one."""
    if not await resources.read(queries.policies):
        raise NoPolicyYet
    return await resources.policies.waiting()


class Probe:
    """Asks one part whether it is there. However many wait for the answer, one question is open at a time."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._ask = ask
        self._asking: asyncio.Task[Any] | None = None
        self.found: Any = None
        """What the part answered last."""

    async def state(self) -> str:
        """`ok`, or what is wrong."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(_seen)
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                self.found = await asyncio.shield(self._asking)
        except TimeoutError:
            return f"no answer within {PROBE_TIMEOUT_S:g} s"
        except DATABASE_ERRORS as error:
            return f"failed: {in_a_sentence(error)}"
        except StoreAway as error:
            return f"failed: {error}"
        except Exception as error:  # the probe: whatever it is, the answer is that the part failed
            return f"failed: {type(error).__name__}"
        return "ok"


def _seen(task: asyncio.Task[Any]) -> None:
    """Keeps asyncio from warning about a failure that nobody waited for."""
    if not task.cancelled():
        task.exception()


@operation("GET", "/metrics", "Numbers for Prometheus.", {200: "text/plain"}, public=True)
async def metrics(request: Request) -> Response:
    return Response(resources_of(request).metrics.exposition(), media_type="text/plain; version=0.0.4")
