"""HTTP clients of ours: httpx, with the proxies that runtime.proxies allows."""

from __future__ import annotations

import ssl
from typing import Any

import httpx

from runtime.proxies import proxy_for


def http_client(url: str, *, ca: str = "", **options: Any) -> httpx.Client:
    """A client for this URL and others of its host, with httpx's options. ProxyUnusable.

    `ca`: file with the certificates of the authorities that vouch for the server, instead of those of the machine.

    httpx itself would ask a proxy for this machine, and would fail at SOCKS proxies that nobody needs."""
    proxy = proxy_for(url)
    # a context takes 20 ms to make, and a file of certificates in the environment counts for this machine too
    is_plain = httpx.URL(url).scheme == "http" and not options.get("follow_redirects")
    verify = False if is_plain else ssl.create_default_context(cafile=ca) if ca else httpx.create_ssl_context()
    return httpx.Client(trust_env=False, proxy=proxy or None, verify=verify, **options)
