"""The API as an ASGI application in memory: its resources are what a test gives it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx

from api.app import Application
from api.cancels import Cancels
from api.hub import Hub
from api.key_checks import KeyChecks
from api.metrics import Metrics
from api.resources import REQUESTS_EACH_MAX, SENDERS_EACH_MAX, SENDERS_MAX, Resources
from api.shares import CallerShares
from registry import keys
from registry.keys import Key
from runtime.settings import Settings


class ServedApi:
    """`reads` answers the queries and changes of handlers, by the name of the function; `store` is the object store."""

    def __init__(
        self,
        *,
        store: Any = None,
        reads: dict[str, Any] | None = None,
        prefix: str = "",
        metrics_public: bool = False,
        **settings: Any,
    ) -> None:
        self._application = Application(Settings(api_prefix=prefix, api_metrics_public=metrics_public, **settings))
        self._reads = reads or {}
        self.looked: list[str] = []
        """Secrets for which a database would have been asked."""
        self._keys: dict[str, Key] = {}
        self.resources = resources = object.__new__(Resources)
        resources.store, resources.settings = store, self._application.settings
        resources.keys = KeyChecks(SimpleNamespace(kept=self._keys.get), self._look)
        resources.requests = CallerShares(REQUESTS_EACH_MAX)
        resources.ledger_askers = CallerShares(1)
        resources.egress_policy = resources.settings.egress_policy
        resources.senders, resources.all_senders = CallerShares(SENDERS_EACH_MAX), CallerShares(SENDERS_MAX)
        resources.cancels = Cancels()
        resources.hub, resources.metrics = Hub(), Metrics()
        vars(resources).update(read=self._read, write=self._read, in_store=self._in_store, in_uploads=self._in_store)
        self._application._starlette.state.resources = resources

    async def _look(self, secret: str, who: str) -> Key | None:
        self.looked.append(secret)
        return None

    async def _read(self, query: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return self._reads[query.__name__](*arguments, **named)

    async def _in_store(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)

    def secret_of(self, tenant: str) -> str:
        """The secret of a key of this tenant."""
        id, secret = keys.draw()
        self._keys[secret] = Key(id, tenant, ("free",), "user")
        return secret

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        return self.requests(1, method, url, **options)[0]

    def requests(
        self,
        times: int,
        method: str,
        url: str,
        *,
        tenant: str = "acme",
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> list[httpx.Response]:
        """The same request so many times at once, with a key of the tenant; without a tenant it has no key."""
        sent = {"Authorization": f"Bearer {self.secret_of(tenant)}"} if tenant else {}

        async def ask() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self._application)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8470") as client:
                asked = [client.request(method, url, headers=sent | (headers or {}), **more) for _ in range(times)]
                return await asyncio.gather(*asked)

        return asyncio.run(ask())
