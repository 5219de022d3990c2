"""What the API says of its own readiness."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from runtime.http_client import http_client

API_TIMEOUT_S = 5.0


class ApiHealth(msgspec.Struct, frozen=True):
    failing: dict[str, str] = {}
    """By name of a part that the API needs: what is wrong with it."""
    waiting: list[str] = []
    """Pools that no scheduler has opened yet."""
    unreadable: dict[str, int] = {}
    """By pool: how many jobs the views cannot show."""


def api_health(api_url: str) -> ApiHealth:
    """httpx.HTTPError when the API does not answer. Nothing is known of one that answers something else."""
    try:
        document: dict[str, Any] = get(f"{api_url}/readyz").json()
    except ValueError:
        return ApiHealth()
    parts, unreadable = document.get("parts", {}), document.get("unreadable", {})
    return ApiHealth(
        {str(part): str(parts[part]) for part in parts if parts[part] != "ok"},
        [str(pool) for pool in document.get("waiting", [])],
        {str(pool): int(unreadable[pool]) for pool in unreadable},
    )


def get(url: str) -> httpx.Response:
    with http_client(url, timeout=API_TIMEOUT_S) as client:
        return client.get(url)
