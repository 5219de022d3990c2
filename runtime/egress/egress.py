"""The guard itself: fetch from, or post to, a URL that a user named."""

from __future__ import annotations

import math
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from typing import NamedTuple

import httpcore
import httpx

from runtime.egress.addresses import IpAddress
from runtime.egress.answer import EgressAnswer, too_large
from runtime.egress.connection import PinnedBackend
from runtime.egress.host_turns import HostTurns
from runtime.egress.patience import Clock, IsCancelled, Patience
from runtime.egress.policy import HTTPS, EgressLimits, EgressPolicy
from runtime.egress.refusal import EgressRefused, EgressTrouble, no_public_host, unreachable
from runtime.egress.resolver import Resolver
from runtime.egress.url import EgressUrl, egress_url, redirected

Sink = Callable[[bytes], object]
"""Takes the body, piece by piece: `file.write`. What it raises ends the fetch."""

USER_AGENT = b"headrace"


class Fetched(NamedTuple):
    bytes: int
    sha256: str
    """Hexadecimal."""
    content_type: str
    """As the server says it: nobody has looked at the bytes."""


def _never() -> bool:
    return False


class Egress:
    """Thread-safe; one for a process (`process_egress`), since connections to one host are counted here. Asks no
    proxy, whatever the environment says: a proxy would resolve the name anew, behind the check."""

    def __init__(
        self,
        policy: EgressPolicy,
        limits: EgressLimits = EgressLimits(),
        *,
        tls: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
        network: httpcore.NetworkBackend | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """`tls`: whose authorities vouch for servers, instead of those of the machine."""
        self._policy = policy
        self._limits = limits
        self._tls = tls or httpx.create_ssl_context()
        self._resolver = resolver or Resolver()
        self._network = network or httpcore.SyncBackend()
        self._clock = clock
        self._host_turns = HostTurns(limits.at_once)
        self._address_turns = HostTurns(limits.at_once)

    def fetch(
        self,
        url: str,
        sink: Sink,
        *,
        bytes_max: int,
        types: Sequence[str],
        whole_s: float = math.inf,
        is_cancelled: IsCancelled = _never,
    ) -> Fetched:
        """Pass the whole body to `sink`. EgressRefused, EgressCancelled: `sink` may have had a part of the body.

        `types`: content types that may come, `video/*` for all of a kind. `whole_s`: a bound below that of the limits.
        `is_cancelled` is asked before each step, and every 0.25 s while the fetch waits for a turn or for bytes; a
        look-up (5 s) and a connection that is being made (10 s) end by themselves."""
        accept = ", ".join(types).encode("ascii")
        patience = Patience(self._limits, self._clock, is_cancelled, whole_s)
        asked = egress_url(url, self._policy.schemes)
        for _ in range(self._limits.redirects + 1):
            with self._answered(asked, patience, b"GET", [(b"Accept", accept)], b"") as (answer, body):
                location = answer.location()
                if not location:
                    content_type = answer.check(types, bytes_max)
                    patience.begin_body()
                    return _taken(body, sink, bytes_max, patience, content_type)
            asked = self._redirected(asked, location)
        raise EgressRefused(EgressTrouble.REDIRECT, f"expected at most {self._limits.redirects} redirects, found more")

    def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> int:
        """The status that the server answers; redirects are not followed and the answer's body is not read.
        EgressRefused."""
        if len(content) > self._limits.post_bytes:
            raise EgressRefused(
                EgressTrouble.SIZE, f"expected at most {self._limits.post_bytes} bytes to post, found more"
            )
        patience = Patience(self._limits, self._clock, _never)
        asked = egress_url(url, self._policy.schemes)
        said = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        said.append((b"Content-Length", b"%d" % len(content)))
        with self._answered(asked, patience, b"POST", said, content) as (answer, _):
            return answer.status

    def _redirected(self, asked: EgressUrl, location: str) -> EgressUrl:
        """Where a redirect leads, checked as the first URL was; never from https to http. EgressRefused."""
        schemes = frozenset({HTTPS}) if asked.scheme == HTTPS else self._policy.schemes
        try:
            return egress_url(redirected(asked, location), schemes)
        except EgressRefused as refusal:
            if refusal.trouble is EgressTrouble.URL:
                raise EgressRefused(EgressTrouble.REDIRECT, f"{refusal} behind a redirect") from None
            raise

    @contextmanager
    def _answered(
        self, url: EgressUrl, patience: Patience, method: bytes, headers: Sequence[tuple[bytes, bytes]], content: bytes
    ) -> Iterator[tuple[EgressAnswer, Iterator[bytes]]]:
        """The head of the server's answer and its body, while the connection is open. EgressRefused."""
        with ExitStack() as held:
            held.enter_context(self._host_turns.turn(url.host, patience))
            backend = PinnedBackend(
                self._allowed(url, patience), self._network, self._address_turns, patience, self._clock
            )
            held.callback(backend.close)
            place = httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target)
            connection = httpcore.HTTPConnection(place.origin, ssl_context=self._tls, network_backend=backend)
            held.callback(connection.close)
            ours = [
                (b"Host", url.authority.encode("ascii")),
                (b"User-Agent", USER_AGENT),
                (b"Accept-Encoding", b"identity"),
                (b"Connection", b"close"),
            ]
            request = httpcore.Request(method, place, headers=[*ours, *headers], content=content)
            response = _asked(connection, request)
            yield EgressAnswer(response.status, response.headers), response.iter_stream()

    def _allowed(self, url: EgressUrl, patience: Patience) -> tuple[IpAddress, ...]:
        """Addresses to try. One that is not allowed refuses them all: such a name is a trick, or has moved."""
        patience.look()
        if url.address is not None:
            addresses: tuple[IpAddress, ...] = (url.address,)
        else:
            addresses = self._resolver.addresses(url.host, patience.resolve_s())
        if not all(self._policy.lets(address, url.scheme, url.port) for address in addresses):
            raise no_public_host()
        return addresses[: self._limits.addresses]


_of_process: dict[EgressPolicy, Egress] = {}
_making = threading.Lock()


def process_egress(policy: EgressPolicy) -> Egress:
    """This process's guard: a second one would let twice as many connections go to one host. Programs ask for their
    guard here; only tests make another."""
    with _making:
        if policy not in _of_process:
            _of_process[policy] = Egress(policy)
        return _of_process[policy]


def _asked(connection: httpcore.HTTPConnection, request: httpcore.Request) -> httpcore.Response:
    try:
        return connection.handle_request(request)
    except httpcore.ProtocolError:
        raise EgressRefused(
            EgressTrouble.ANSWER, "expected an answer in HTTP, found something else or nothing"
        ) from None
    except (httpcore.NetworkError, httpcore.TimeoutException):
        raise unreachable() from None


def _taken(body: Iterator[bytes], sink: Sink, bytes_max: int, patience: Patience, content_type: str) -> Fetched:
    digest = sha256()
    taken = 0
    while True:
        try:
            piece = next(body, None)
        except (httpcore.ProtocolError, httpcore.NetworkError):
            raise EgressRefused(
                EgressTrouble.CUT_SHORT, "expected the whole file, found that the server ended in the middle"
            ) from None
        if piece is None:
            return Fetched(taken, digest.hexdigest(), content_type)
        taken += len(piece)
        if taken > bytes_max:
            raise too_large(bytes_max)
        patience.took_body(len(piece))
        digest.update(piece)
        sink(piece)
