"""Names to addresses, each name once for each connection: what is checked is what is connected to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress

from runtime.egress.addresses import IpAddress, address_of
from runtime.egress.refusal import EgressTrouble, no_public_host, unreachable

Lookup = Callable[[str], Sequence[str]]
"""Addresses of a name, as text. OSError: there is none, or nobody could be asked."""

LOOKUPS_MAX = 32
"""At once. The machine's resolver cannot be told to stop, so a look-up that nobody waits for any more keeps its thread
until the resolver gives up (30 s, usually)."""


def looked_up(host: str) -> list[str]:
    """As the machine's resolver knows the name."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(address[0]) for *_, address in found]


class Resolver:
    """Thread-safe."""

    def __init__(self, lookup: Lookup = looked_up, at_once: int = LOOKUPS_MAX) -> None:
        self._lookup = lookup
        self._places = threading.BoundedSemaphore(at_once)

    def addresses(self, host: str, limit_s: float) -> tuple[IpAddress, ...]:
        """All addresses of the name, in the resolver's order, at least one; unchecked. EgressRefused."""
        if not self._places.acquire(blocking=False):
            raise unreachable()
        answer: Future[Sequence[str]] = Future()
        threading.Thread(target=self._ask, args=(host, answer), name="egress-lookup", daemon=True).start()
        try:
            spelled = answer.result(limit_s)
        except NotYet:
            answer.cancel()
            raise unreachable() from None
        except socket.gaierror as error:
            # an outage of the resolver passes; that a name has no address does not
            raise (
                unreachable(EgressTrouble.RESOLVER) if error.errno == socket.EAI_AGAIN else no_public_host()
            ) from None
        except (OSError, UnicodeError):
            raise no_public_host() from None
        found = tuple(dict.fromkeys(address_of(text) for text in spelled))
        if not found or None in found:
            raise no_public_host()
        return tuple(address for address in found if address is not None)

    def _ask(self, host: str, answer: Future[Sequence[str]]) -> None:
        try:
            found = self._lookup(host)
        except BaseException as error:  # raised where the answer is awaited; a thread that ended mute would hang that
            with suppress(InvalidStateError):  # nobody waits any more
                answer.set_exception(error)
        else:
            with suppress(InvalidStateError):
                answer.set_result(found)
        finally:
            self._places.release()
