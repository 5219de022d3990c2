"""Which addresses are public. Pure: no name is looked up here.

Python's `ipaddress.is_global` has changed its mind within 3.11, 3.12 and 3.13 (CVE-2024-4032), so the special ranges
stand here, after IANA's special-purpose registries for IPv4 and IPv6, and both must agree."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

_GLOBAL_UNICAST_6 = IPv6Network("2000::/3")
"""All that IANA has given out of IPv6. What lies outside is loopback, mapped, local (fc00::/7), link-local, multicast,
discarded (100::/64), segment routing (5f00::/16), or reserved."""

_NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052: how a host without IPv4 reaches an IPv4 address, which is the last 32 bits."""

SPECIAL: tuple[IpNetwork, ...] = (
    IPv4Network("0.0.0.0/8"),  # this network
    IPv4Network("10.0.0.0/8"),  # private
    IPv4Network("100.64.0.0/10"),  # shared by customers of a carrier (CGNAT)
    IPv4Network("127.0.0.0/8"),  # loopback
    IPv4Network("169.254.0.0/16"),  # link-local, metadata of clouds
    IPv4Network("172.16.0.0/12"),  # private
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv4Network("192.0.2.0/24"),  # documentation
    IPv4Network("192.31.196.0/24"),  # AS112
    IPv4Network("192.52.193.0/24"),  # AMT
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv4Network("192.168.0.0/16"),  # private
    IPv4Network("192.175.48.0/24"),  # AS112
    IPv4Network("198.18.0.0/15"),  # benchmarking
    IPv4Network("198.51.100.0/24"),  # documentation
    IPv4Network("203.0.113.0/24"),  # documentation
    IPv4Network("224.0.0.0/4"),  # multicast
    IPv4Network("240.0.0.0/4"),  # reserved, broadcast
    IPv6Network("2001::/23"),  # protocol assignments: Teredo, benchmarking, ORCHID
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("2002::/16"),  # 6to4: an IPv4 address inside, whichever
    IPv6Network("2620:4f:8000::/48"),  # AS112
    IPv6Network("3fff::/20"),  # documentation
)

NEVER: tuple[IpNetwork, ...] = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),  # AWS, Google, Azure, Oracle and others: metadata
    IPv4Network("100.100.100.200/32"),  # Alibaba: metadata
    IPv4Network("168.63.129.16/32"),  # Azure: the machine's host, in a range that IANA calls public
    IPv4Network("192.0.0.0/24"),  # Oracle, classic: metadata
    IPv4Network("224.0.0.0/3"),
    IPv6Network("fe80::/10"),
    IPv6Network("fd00:ec2::/32"),  # AWS: metadata, and credentials of pods
    IPv6Network("fd20:ce::254/128"),  # Google: metadata
    IPv6Network("ff00::/8"),
)
"""No policy lets anybody reach these: whoever asks a cloud's metadata gets its credentials. The addresses are those of
the vendors' documents."""

PRIVATE: tuple[IpNetwork, ...] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
)
"""Prefixes of these a policy may name."""


def is_never_allowed(address: IpAddress) -> bool:
    """Whether no policy may let anybody reach this address."""
    return _is_within(address, NEVER) or (isinstance(address, IPv6Address) and address.scope_id is not None)


def is_public(address: IpAddress) -> bool:
    """Whether the address belongs to the public internet, by itself and by the address that it stands for."""
    if is_never_allowed(address):
        return False
    if isinstance(address, IPv6Address) and address in _NAT64:
        return is_public(IPv4Address(address.packed[-4:]))
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST_6:
        return False
    return address.is_global and not _is_within(address, SPECIAL)


def address_of(text: str) -> IpAddress | None:
    """The address that a host or an answer of the resolver spells, in its one strict form; None: it spells none.

    `0x7f000001`, `2130706433`, `127.1` and `0177.0.0.1` are none: see `is_number`."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def is_number(host: str) -> bool:
    """Whether the host ends in a number, as the URL standard says it: some program would take such a host for an IPv4
    address in decimal, octal or hexadecimal form, so it is an address in the one strict form or it is refused."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    return last.isdecimal() or (last.startswith("0x") and all(digit in "0123456789abcdef" for digit in last[2:]))


def _is_within(address: IpAddress, networks: tuple[IpNetwork, ...]) -> bool:
    return any(address in network for network in networks)
