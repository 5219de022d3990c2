"""Free ports are found, taken ones are named."""

from __future__ import annotations

import os
import socket

import pytest

from local import ports
from local.errors import CannotStart


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        with pytest.raises(CannotStart, match=rf"port {port} .* free for api, found it in use.*--api-port"):
            ports.require_free("api", port)
        with pytest.raises(CannotStart, match=r"free for relay, found it in use.*start again to have another port"):
            ports.require_free("relay", port)
        assert ports.is_listened_to_by(os.getpid(), port)
        assert not ports.is_listened_to_by(os.getppid(), port), "another process answers there, not that one"
    ports.require_free("api", port)
    assert not ports.is_listened_to_by(os.getpid(), port)


def test_a_free_port_is_free_and_not_an_excluded_one() -> None:
    port = ports.free_port()
    assert ports.is_free(port)
    everything_else = set(range(ports.PORTS_FROM, ports.PORTS_TO)) - {port}
    with pytest.raises(CannotStart, match="expected a free port"):
        ports.free_port(not_in=everything_else | {port})
