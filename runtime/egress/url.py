"""A URL that a user or a redirect names, taken apart once. Pure.

What is asked of the server is built from these parts only, so no second parser can understand the URL differently."""

from __future__ import annotations

import re
from collections.abc import Set
from socket import AF_INET, AF_INET6, inet_ntop
from typing import NamedTuple

import httpx

from runtime.egress.addresses import IpAddress, address_of, is_number
from runtime.egress.policy import HTTP, HTTPS
from runtime.egress.refusal import EgressRefused, EgressTrouble, no_public_host

URL_LENGTH_MAX = 4096
"""Characters. Presigned URLs of S3 with a session token have about 2,000."""
HOST_LENGTH_MAX = 253
"""RFC 1035, without the last dot."""

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_DEFAULT_PORTS = {HTTPS: 443, HTTP: 80}


class EgressUrl(NamedTuple):
    scheme: str
    host: str
    """In ASCII, small letters, without brackets and without a last dot."""
    port: int
    target: bytes
    """Path and query, as the request line has them."""
    address: IpAddress | None
    """When the host spells an address instead of a name."""

    @property
    def authority(self) -> str:
        """As the header Host has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def egress_url(text: str, schemes: Set[str]) -> EgressUrl:
    """EgressRefused, with a sentence that quotes nothing of the text."""
    url = _parsed(text)
    if url.scheme not in schemes:
        raise _refused(f"a URL that begins with {' or '.join(f'{scheme}://' for scheme in sorted(schemes))}", "another")
    if url.userinfo:
        raise _refused("a URL without user and password", "one that has them")
    host = url.raw_host.decode("ascii").removesuffix(".")
    address = address_of(host)
    if address is None:
        if is_number(host):
            raise no_public_host()
        if len(host) > HOST_LENGTH_MAX or not all(_LABEL.fullmatch(label) for label in host.split(".")):
            raise _refused("a URL with the name of a host", "one without")
    else:
        host = spelled(address)
    port = _DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    return EgressUrl(url.scheme, host, port, url.raw_path, address)


def spelled(address: IpAddress) -> str:
    """The address in the form of RFC 5952, which Python's own has for mapped addresses from 3.13 on only."""
    return inet_ntop(AF_INET6 if address.version == 6 else AF_INET, address.packed)


def redirected(url: EgressUrl, location: str) -> str:
    """The URL that a redirect from `url` names, unchecked. EgressRefused."""
    base = httpx.URL(f"{url.scheme}://{url.authority}").copy_with(raw_path=url.target)
    try:
        return str(base.join(location))
    except (httpx.InvalidURL, ValueError):
        raise EgressRefused(
            EgressTrouble.REDIRECT, "expected a redirect to a URL, found one to something else"
        ) from None


def _parsed(text: str) -> httpx.URL:
    if len(text) > URL_LENGTH_MAX:
        raise _refused(f"a URL of at most {URL_LENGTH_MAX} characters", "a longer one")
    if not text.isprintable() or any(character in text for character in " \\"):
        raise _refused("a URL without spaces, backslashes and control characters", "one that has them")
    try:
        return httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        raise _refused("a URL", "something that is none") from None


def _refused(expected: str, found: str) -> EgressRefused:
    return EgressRefused(EgressTrouble.URL, f"expected {expected}, found {found}")
