"""Where the ranks of a gang on one node meet."""

from __future__ import annotations

import socket

HERE = "127.0.0.1"


def rendezvous_here() -> str:
    """host:port on this machine that nothing uses now, for a gang whose ranks are all on this node."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.bind((HERE, 0))
        return f"{HERE}:{free.getsockname()[1]}"
