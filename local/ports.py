"""Ports on this machine: free ones found, taken ones named."""

from __future__ import annotations

import random
import socket

import psutil

from local.errors import CannotStart

HOST = "127.0.0.1"

PORTS_FROM, PORTS_TO = 20_000, 32_000
"""Below the ports of outgoing connections on Linux. Such a connection could take a port between our look and the
server's bind."""

GANG_PORTS_FROM = 10_000
GANG_PORTS = 1_000
_GANG_RANGES = 10

_TRIES = 200

OPTIONS = {"api": "--api-port", "kafka": "--kafka-port", "s3": "--s3-port"}
"""Parts whose port can be chosen, each with the option of `headrace up` for it."""


def first_gang_port(node: int) -> int:
    """The first of the ports at which the ranks of gangs reach this node (1, 2…). These ports lie below all others of
    the stack. A port that another process uses costs a gang one attempt; the next attempt has another port."""
    return GANG_PORTS_FROM + (node - 1) % _GANG_RANGES * GANG_PORTS


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError:
            return False
    return True


def is_listened_to_by(pid: int, port: int) -> bool:
    """Whether this process listens at the port. An answer from the port alone proves nothing: another stack may have
    been started at the same moment on the same port. False for a process that keeps its memory private, unless we are
    root."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(known.status == psutil.CONN_LISTEN and known.laddr.port == port for known in connections)


def free_port(*, not_in: set[int] | frozenset[int] = frozenset()) -> int:
    """A port that no process uses now. CannotStart when none is found."""
    for _ in range(_TRIES):
        port = random.SystemRandom().randrange(PORTS_FROM, PORTS_TO)
        if port not in not_in and is_free(port):
            return port
    raise CannotStart(
        f"a free port from {PORTS_FROM} to {PORTS_TO} on {HOST}", "none", "Stop what uses them, or name the ports"
    )


def require_free(part: str, port: int) -> None:
    """CannotStart when a process uses the port of this part."""
    if not is_free(port):
        another = f"give another port with {OPTIONS[part]}" if part in OPTIONS else "start again to have another port"
        raise CannotStart(
            f"port {port} on {HOST} to be free for {part}",
            "it in use by another process",
            f"Stop that process (`ss -ltnp 'sport = :{port}'` names it), or {another}",
        )
