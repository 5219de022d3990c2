"""Whose address a request or a connection comes from, as far as shares go."""

from __future__ import annotations

import ipaddress

_TEXT_MAX = 64
_HOST_BITS_OF_V6 = 64
"""Whoever has one address of IPv6 has these many bits of them."""


def shared_address(host: str) -> str:
    """The address for which shares are counted: one of IPv4, or a network of IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:_TEXT_MAX]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_address(int(address) >> _HOST_BITS_OF_V6 << _HOST_BITS_OF_V6))
    return str(address)
