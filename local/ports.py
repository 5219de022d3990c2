"""Ports on this machine: free ones found, taken ones named."""

from __future__ import annotations

import random
import socket

from local.errors import CannotStart

HOST = "127.0.0.1"

PORTS_FROM, PORTS_TO = 20_000, 32_000
"""Below what Linux gives to outgoing connections, so that none takes a port between our look and the server's bind."""

GANG_PORTS_FROM = 10_000
GANG_PORTS = 1_000
_GANG_RANGES = 10

_TRIES = 200


def first_gang_port(node: int) -> int:
    """Where the ports begin at which the ranks of gangs reach this node (1, 2…): below all others of the stack. One
    that something else uses costs an attempt, and the next one has another."""
    return GANG_PORTS_FROM + (node - 1) % _GANG_RANGES * GANG_PORTS


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError:
            return False
    return True


def is_open(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        return sock.connect_ex((HOST, port)) == 0


def free_port(*, not_in: set[int] | frozenset[int] = frozenset()) -> int:
    """A port that nothing uses now. CannotStart when there is none to be found."""
    for _ in range(_TRIES):
        port = random.SystemRandom().randrange(PORTS_FROM, PORTS_TO)
        if port not in not_in and is_free(port):
            return port
    raise CannotStart(
        f"a free port from {PORTS_FROM} to {PORTS_TO} on {HOST}", "none", "Stop what uses them, or name the ports"
    )


def require_free(port: int, purpose: str, option: str) -> None:
    """CannotStart when something else uses this port."""
    if not is_free(port):
        raise CannotStart(
            f"port {port} on {HOST} to be free for {purpose}",
            "it in use by another process",
            f"Stop that process (`ss -ltnp 'sport = :{port}'` names it), or give another port with {option}",
        )
