"""What an installation allows beyond https to public addresses, and how much and how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from runtime.egress.addresses import NEVER, PRIVATE, IpAddress, IpNetwork, is_never_allowed, is_public

HTTPS, HTTP = "https", "http"


class PrefixUnusable(ValueError):
    """A policy names a prefix that it may not. The message names the prefix."""


@dataclass(frozen=True)
class PrivatePrefix:
    """A private network that users' URLs may reach: an internal store. PrefixUnusable."""

    name: str
    network: IpNetwork
    ports: frozenset[int] = frozenset({443})
    allows_http: bool = False

    def __post_init__(self) -> None:
        # networks of two IP versions have nothing in common, and subnet_of refuses to compare them
        if not any(_is_inside(self.network, private) for private in PRIVATE):
            raise PrefixUnusable(
                f"expected the prefix {self.name} to lie in a private network, found {self.network}; "
                "public addresses need no prefix, and the rest is never allowed"
            )
        if any(_is_inside(self.network, never) for never in NEVER):
            raise PrefixUnusable(
                f"expected the prefix {self.name} to leave out metadata of clouds, found {self.network}; name another"
            )


def _is_inside(network: IpNetwork, other: IpNetwork) -> bool:
    return network.version == other.version and network[0] in other and network[-1] in other


@dataclass(frozen=True)
class EgressPolicy:
    ports: frozenset[int] = frozenset({443})
    """Of public addresses."""
    allows_http: bool = False
    """Also at public addresses. Whoever allows it adds port 80."""
    prefixes: tuple[PrivatePrefix, ...] = ()
    refused: tuple[IpNetwork, ...] = ()
    """Public addresses that lead inside: our own load balancers, and a NAT64 prefix of our own, behind which is every
    private IPv4 address."""

    @property
    def schemes(self) -> frozenset[str]:
        """Those that some address may be asked by."""
        is_http = self.allows_http or any(prefix.allows_http for prefix in self.prefixes)
        return frozenset({HTTPS, HTTP} if is_http else {HTTPS})

    def may_let(self, scheme: str, port: int) -> bool:
        """Whether some address may be connected to at this port, by this scheme."""
        return (port in self.ports and (scheme == HTTPS or self.allows_http)) or any(
            port in prefix.ports and (scheme == HTTPS or prefix.allows_http) for prefix in self.prefixes
        )

    def lets(self, address: IpAddress, scheme: str, port: int) -> bool:
        """Whether this address may be connected to at this port, by this scheme."""
        if is_never_allowed(address) or any(address in network for network in self.refused):
            return False
        if is_public(address):
            return port in self.ports and (scheme == HTTPS or self.allows_http)
        return any(
            address in prefix.network and port in prefix.ports and (scheme == HTTPS or prefix.allows_http)
            for prefix in self.prefixes
        )


class EgressLimits(NamedTuple):
    """Times in seconds. What a call may take in bytes, and of which type, is said by the call."""

    resolve_s: float = 5.0
    connect_s: float = 10.0
    """For TCP and TLS together, at each address that is tried."""
    answer_s: float = 20.0
    """From the request to the end of the answer's headers."""
    whole_s: float = 600.0
    """From the beginning to the last byte, redirects and waiting for a turn included."""
    turn_s: float = 60.0
    """How long a fetch waits for others that ask the same host."""
    window_s: float = 10.0
    window_bytes: int = 10 * 16 * 1024
    """A body that brings fewer in a window ends: 16 KiB/s. Only time spent waiting for the other side counts."""
    redirects: int = 3
    addresses: int = 3
    """Of one name: how many are tried. All are checked."""
    at_once: int = 4
    """Connections to one host, and to one address, whatever names it has."""
    head_bytes: int = 128 * 1024
    """Of all headers of one answer, those of interim answers (1xx) included."""
    post_bytes: int = 1024 * 1024
