"""An egress policy as an installation's settings spell it. Pure.

Nothing of it can come from a user: whoever names URLs must not be the one who says where URLs may lead."""

from __future__ import annotations

import re
from ipaddress import ip_network

from runtime.egress.addresses import IpNetwork
from runtime.egress.policy import HTTP, EgressPolicy, PrefixUnusable, PrivatePrefix

_PREFIX = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]{0,62})=(?P<network>[0-9a-fA-F.:/]+)@(?P<scheme>https?):(?P<port>\d+)")
PORT_MAX = 65_535


def spelled_policy(ports: str, allows_http: bool, prefixes: str, refused: str) -> EgressPolicy:
    """PrefixUnusable, whose message says what was expected. Parts of a list have commas between.

    `ports`: `443,8443`. `prefixes`: `store=10.0.7.0/24@https:443,store=10.0.7.0/24@http:9000`. `refused`: networks."""
    return EgressPolicy(
        ports=frozenset(_port(text) for text in _parts(ports)),
        allows_http=allows_http,
        prefixes=tuple(_prefix(text) for text in _parts(prefixes)),
        refused=tuple(_network(text) for text in _parts(refused)),
    )


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _prefix(text: str) -> PrivatePrefix:
    said = _PREFIX.fullmatch(text)
    if said is None:
        raise PrefixUnusable(
            "expected a private prefix like store=10.0.7.0/24@https:443 or store=10.0.7.0/24@http:9000, "
            f"found {_shown(text)}"
        )
    return PrivatePrefix(
        said["name"], _network(said["network"]), frozenset({_port(said["port"])}), allows_http=said["scheme"] == HTTP
    )


def _network(text: str) -> IpNetwork:
    try:
        return ip_network(text)
    except ValueError:
        raise PrefixUnusable(
            f"expected a network like 10.0.7.0/24 or fd00:7::/64, without bits of hosts, found {_shown(text)}"
        ) from None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) <= PORT_MAX):
        raise PrefixUnusable(f"expected a port from 1 to {PORT_MAX}, found {_shown(text)}")
    return int(text)


def _shown(text: str) -> str:
    return repr(text[:100])
