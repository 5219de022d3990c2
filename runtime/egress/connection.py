"""httpcore's network, held to the addresses that were checked and to the time that is left."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import httpcore

from runtime.egress.addresses import IpAddress
from runtime.egress.host_turns import HostTurns
from runtime.egress.patience import LOOK_S, Clock, Patience
from runtime.egress.refusal import EgressRefused, EgressTrouble, unreachable

_PIECE_BYTES = 16 * 1024
"""Written at once: one record of TLS, which is sent within its time or not at all."""


class PinnedBackend(httpcore.NetworkBackend):
    """Connects to one of the checked addresses, whatever host httpcore asks for. The name stays in the URL, so it is
    the name that goes into SNI, the check of the certificate, and the header Host."""

    def __init__(
        self,
        addresses: Sequence[IpAddress],
        network: httpcore.NetworkBackend,
        turns: HostTurns,
        patience: Patience,
        clock: Clock,
    ) -> None:
        self._addresses = addresses
        self._network = network
        self._turns = turns
        self._patience = patience
        self._clock = clock
        self._held = ExitStack()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        for address in self._addresses:
            with ExitStack() as held:
                held.enter_context(self._turns.turn(str(address), self._patience))
                self._patience.begin_connecting()
                try:
                    stream = self._network.connect_tcp(str(address), port, timeout=self._patience.left_s())
                except (httpcore.ConnectError, httpcore.ConnectTimeout):
                    continue
                held.callback(stream.close)
                self._held = held.pop_all()
                return PatientStream(stream, self._patience, self._clock)
        raise unreachable()

    def close(self) -> None:
        """The connection ends and its turn is free."""
        self._held.close()


class PatientStream(httpcore.NetworkStream):
    """Every wait ends when the fetch's patience does, whatever httpcore was told."""

    def __init__(self, stream: httpcore.NetworkStream, patience: Patience, clock: Clock) -> None:
        self._stream = stream
        self._patience = patience
        self._clock = clock
        self._is_asked = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            left_s = self._patience.left_s()
            with self._waiting():
                try:
                    data = self._stream.read(max_bytes, timeout=min(left_s, LOOK_S))
                except httpcore.ReadTimeout:
                    continue  # patience says whose time is over, and whether the fetch is wanted
            self._patience.took_wire(len(data))
            return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not self._is_asked:
            self._is_asked = True
            self._patience.begin_answer()
        for start in range(0, len(buffer), _PIECE_BYTES):
            try:
                self._stream.write(buffer[start : start + _PIECE_BYTES], timeout=self._patience.left_s())
            except httpcore.WriteTimeout:
                raise unreachable() from None

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, timeout=self._patience.left_s())
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            is_foreign = isinstance(error.__cause__, ssl.SSLCertVerificationError)
            raise (_not_vouched_for() if is_foreign else unreachable()) from None
        return PatientStream(stream, self._patience, self._clock)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        began_s = self._clock()
        try:
            yield
        finally:
            self._patience.waited(self._clock() - began_s)


def _not_vouched_for() -> EgressRefused:
    return EgressRefused(
        EgressTrouble.CERTIFICATE,
        "expected a certificate that a known authority gave for the host of the URL, found another",
    )
