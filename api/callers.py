"""Who asks: from an API key to its tenant."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request

from api.addresses import shared_address
from api.guard import ENDS
from api.problems import RETRY_AFTER_S, Problem
from api.resources import Resources, resources_of
from api.shares import ASKER
from registry import keys
from registry.audiences import Viewer
from registry.keys import Key


def secret_of(authorization: str | None) -> str:
    """The secret in an Authorization header. Problem 401 when the header has none."""
    scheme, _, secret = (authorization or "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        found = "no Authorization header" if authorization is None else "another form of Authorization header"
        raise _unauthorized("missing-key", f"expected `Authorization: Bearer hr_…`, found {found}; send your API key")
    return secret


def require_possible(secret: str) -> None:
    """Problem 401 for a text that no database has as a key: then none is asked."""
    if not keys.could_be(secret):
        raise _unauthorized(
            "unknown-key",
            f"expected an API key as `headrace keys create` printed it ({keys.PREFIX}…), found one that is cut or"
            " mistyped, or something else; copy the whole key",
        )


async def authenticate(request: Request) -> Key:
    """The key in force whose secret the request carries; from here on the request has a part of its tenant's share.
    Problem 401 without a key, 429 when the tenant has all of its share."""
    resources = resources_of(request)
    secret = secret_of(request.headers.get("Authorization"))
    key = resources.keys.kept(secret) or await _found(request, resources, secret)
    request.scope["headrace.tenant"] = key.tenant
    if not resources.requests.take(key.tenant):
        raise Problem(
            429,
            "too-many-requests",
            "as many requests of yours as one tenant may have at once are being served: wait for their answers, and"
            " send this one again",
            retry_after_s=RETRY_AFTER_S,
        )
    request.scope[ENDS].append(partial(resources.requests.give_back, key.tenant))
    ASKER.set(key.tenant)
    return key


async def _found(request: Request, resources: Resources, secret: str) -> Key:
    """The key, by asking the database. Problem 401."""
    require_possible(secret)
    address = shared_address(request.client.host if request.client else "")
    key = await resources.keys.key_of(secret, address)
    if key is None:
        raise _unauthorized("unknown-key", "no API key in force has this secret; create one, or ask your operator")
    return key


def end_share(request: Request) -> None:
    """Gives back what the request has of its tenant's share, before the request ends."""
    while request.scope[ENDS]:
        request.scope[ENDS].pop()()


async def authenticate_operator(request: Request) -> Key:
    """As `authenticate`, for operators only. Problem 403 for the key of a user."""
    key = await authenticate(request)
    if key.scope != "operator":
        raise Problem(403, "operators-only", "expected a key of scope operator, found one of scope user")
    return key


def viewer_of(key: Key, tier: str | None = None) -> Viewer:
    """Whom the registry shows a model to, as it shows it to this key, or to a job of this tier. A tier that the key may
    not use counts for nothing: what is wrong with it is said later."""
    tiers = (tier,) if tier is not None and tier in key.tiers else key.tiers
    return Viewer(key.tenant, tiers, sees_all=key.scope == "operator")


def _unauthorized(code: str, detail: str) -> Problem:
    return Problem(401, code, detail, headers={"WWW-Authenticate": 'Bearer realm="headrace"'})
