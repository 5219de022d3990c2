"""How Faust is told as whom it speaks to Kafka: the same credentials as librdkafka's (runtime.kafka_credentials)."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Any

import faust
import httpx
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError
from faust.auth import OAuthCredentials

from runtime import kafka_iam
from runtime.http_client import http_client
from runtime.kafka_credentials import KafkaCredentials

TOKEN_TIMEOUT_S = 10.0
TOKEN_USED_FOR = 0.8
"""Share of a token's life after which the next connection fetches another, as librdkafka does."""


def broker_credentials(shown: KafkaCredentials) -> Any:
    """Faust's credentials. None: Faust connects without a name and without TLS."""
    context = ssl.create_default_context(cafile=shown.ca or None) if shown.has_tls else None
    if shown.has_sasl and shown.mechanism == "OAUTHBEARER":
        return OAuthCredentials(oauth_cb=TokenProvider(shown), ssl_context=context)
    if shown.has_sasl:
        return faust.SASLCredentials(
            username=shown.user, password=shown.password, ssl_context=context, mechanism=shown.mechanism
        )
    return None if context is None else faust.SSLCredentials(context=context)


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Has tokens fetched, or made for IAM, and keeps one while it is fresh."""

    def __init__(self, shown: KafkaCredentials, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._shown, self._now_s = shown, now_s
        self._token, self._stale_at_s = "", 0.0
        self._fetching = asyncio.Lock()

    async def token(self) -> str:
        """KafkaConnectionError: aiokafka then tries again, as it does when a broker is away."""
        async with self._fetching:
            if self._now_s() >= self._stale_at_s:
                asked_at_s = self._now_s()
                make = _signed if self._shown.iam_region else _fetch
                self._token, life_s = await asyncio.to_thread(make, self._shown)
                self._stale_at_s = asked_at_s + life_s * TOKEN_USED_FOR
            return self._token


def _signed(shown: KafkaCredentials) -> tuple[str, float]:
    """A token for IAM, and how many seconds it lives. KafkaConnectionError."""
    try:
        made = kafka_iam.token(shown.iam_region)
    except kafka_iam.NoToken as none:
        raise KafkaConnectionError(str(none)) from None
    return made.text, made.ends_s - time.time()


def _fetch(shown: KafkaCredentials) -> tuple[str, float]:
    """A token by the grant `client_credentials` (RFC 6749, section 4.4), and how many seconds it lives.
    KafkaConnectionError, without words of the answer: it may hold one."""
    form = {"grant_type": "client_credentials"} | ({"scope": shown.token_scope} if shown.token_scope else {})
    try:
        with http_client(shown.token_url, ca=shown.ca, timeout=TOKEN_TIMEOUT_S) as client:
            answer = client.post(shown.token_url, data=form, auth=(shown.user, shown.password))
    except httpx.HTTPError as failure:
        raise KafkaConnectionError(f"no token from HEADRACE_KAFKA_TOKEN_URL: {type(failure).__name__}") from None
    try:
        given = answer.raise_for_status().json()
        return str(given["access_token"]), float(given.get("expires_in", 0))
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError, AttributeError):
        raise KafkaConnectionError(
            f"expected HEADRACE_KAFKA_TOKEN_URL to answer with access_token, found status {answer.status_code}"
        ) from None
