"""Proxies that the environment names (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY), as every HTTP client of ours reads
them: never for this machine itself, and never SOCKS."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""What belongs in NO_PROXY, for programs that are not ours."""

USABLE_SCHEMES = ("http", "https")
_WITHOUT = ("NO_PROXY", "no_proxy")


class ProxyUnusable(Exception):
    """The environment names a proxy that no client of ours can use. The message names the variable."""


class NamedProxy(NamedTuple):
    variable: str
    """Which variable of the environment names the proxy."""
    address: str

    @property
    def fault(self) -> str:
        """Why no client of ours can use the proxy; empty when one can. Quotes no password."""
        scheme, separator, _ = self.address.partition("://")
        if not separator or scheme.lower() in USABLE_SCHEMES:
            return ""
        kind = "a SOCKS proxy" if scheme.lower().startswith("socks") else f"the scheme {scheme[:20]!r}"
        return f"expected {self.variable} to name a proxy by http:// or https://, found {kind}"


def is_loopback(host: str) -> bool:
    """Whether the host is this machine itself, by its name or address alone."""
    host = host.strip("[]").lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback or address.is_unspecified


def named_proxies(environment: Mapping[str, str] = os.environ) -> dict[str, NamedProxy]:
    """By scheme of the address that is asked (`http`, `https`, `all`). A variable in small letters wins, and a program
    that is called by CGI takes HTTP_PROXY from nobody, as everywhere."""
    found: dict[str, NamedProxy] = {}
    for scheme in ("http", "https", "all"):
        large = f"{scheme}_proxy".upper()
        for variable in (large.lower(), large):
            address = environment.get(variable, "").strip()
            if address and not (variable == "HTTP_PROXY" and "REQUEST_METHOD" in environment):
                found[scheme] = NamedProxy(variable, address)
                break
    return found


def chosen_proxy(url: str, environment: Mapping[str, str] = os.environ) -> NamedProxy | None:
    """The proxy that the environment names for this URL, usable or not; None: none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    named = named_proxies(environment)
    proxy = named.get(parts.scheme) or named.get("all")
    return None if is_loopback(host) or _is_excepted(host, parts.port, environment) else proxy


def proxy_for(url: str, environment: Mapping[str, str] = os.environ) -> str:
    """The proxy by which to reach this URL; empty: none. ProxyUnusable."""
    proxy = chosen_proxy(url, environment)
    if proxy is None:
        return ""
    if proxy.fault:
        raise ProxyUnusable(f"{proxy.fault}; unset {proxy.variable}, or add {urlsplit(url).hostname} to NO_PROXY")
    return proxy.address if "://" in proxy.address else f"http://{proxy.address}"


def except_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program that is not ours, with this machine in its NO_PROXY."""
    if not named_proxies(environment):
        return dict(environment)
    excepted = [name for variable in _WITHOUT for name in environment.get(variable, "").split(",") if name.strip()]
    names = ",".join(dict.fromkeys(name.strip() for name in (*excepted, *LOOPBACK)))
    return {**environment, **dict.fromkeys(_WITHOUT, names)}


def lets_loopback_through(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether programs that are not ours would ask the proxy for this machine itself."""
    return bool(named_proxies(environment)) and not all(_is_excepted(name, None, environment) for name in LOOPBACK)


def _is_excepted(host: str, port: int | None, environment: Mapping[str, str]) -> bool:
    names = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    where = f"[{host}]" if ":" in host else host
    asked = {host, where, f"{where}:{port}" if port else host}
    return any(proxy_bypass_environment(name, {"no": names}) for name in asked)
