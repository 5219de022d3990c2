"""`python -m api`: serve the API until SIGTERM or SIGINT."""

from __future__ import annotations

import os
import signal
import socket
import sys
from types import FrameType

import structlog
import uvicorn

from api.app import Application
from api.connections import ApiConfig, BoundedConnection, connections_of
from contract import signers
from runtime import jobs_writer
from runtime.anonymous_clients import require_names
from runtime.entry import exit_with
from runtime.open_files import raise_open_files
from runtime.settings import Settings
from runtime.shutdown import SIGNALS
from runtime.telemetry import configure_logging, serve_metrics

GRACE_S = 5
"""A server that stops gives requests under way this time to end."""
KEEP_ALIVE_S = 75
SWITCH_S = 0.0005
"""How long one thread computes before another gets its turn (Python: 5 ms). A request goes to threads and back several
times: while one tenant's inputs are checked in a thread, each of these steps of all others would wait so long."""
GATEWAYS = "FORWARDED_ALLOW_IPS"
"""uvicorn's: the addresses whose `X-Forwarded-For` is believed. Unless it is set nobody's is: any program on this
machine could otherwise come from as many addresses as it likes, and what an address may have would bind nobody."""

log = structlog.get_logger(__name__)


class ApiServer(uvicorn.Server):
    """A server that ends its event streams when it is told to stop. Otherwise they would keep it for GRACE_S."""

    def __init__(self, application: Application) -> None:
        config = ApiConfig(
            application,
            http=BoundedConnection,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=GATEWAYS in os.environ,
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        config.open_connections = connections_of(raise_open_files(), application.settings.api_connections_per_address)
        super().__init__(config)
        self._application = application

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        sys.setswitchinterval(SWITCH_S)
        super().run(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._application.end_streams()
        super().handle_exit(sig, frame)


def listen_on(host: str, port: int) -> socket.socket:
    """A socket that listens there. OSError when the port is taken, or the address belongs to another machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle off only for sockets whose protocol is named. With Nagle every answer waits 40 ms for an ACK
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # two processes can bind one port, but only one can listen: so fail here, not later
    except OSError:
        listener.close()
        raise
    return listener


def main() -> int:
    settings = Settings()
    configure_logging("api", settings.log_level)
    require_names(settings)
    jobs_writer.process_signer(settings, signers.API)
    try:
        listener = listen_on(settings.api_host, settings.api_port)
    except OSError as error:
        log.error(
            "cannot listen",
            expected=f"{settings.api_host}:{settings.api_port} to be free",
            found=error.strerror,
            do="stop what listens there, or set HEADRACE_API_HOST and HEADRACE_API_PORT",
        )
        return 1
    application = Application(settings)
    serve_metrics(settings.metrics_port, application.metrics.registry)
    application.connect()
    server = ApiServer(application)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal again once it has stopped
    log.info("listening", host=settings.api_host, port=listener.getsockname()[1])
    with listener:
        server.run(sockets=[listener])
    return 0 if server.started else 1


if __name__ == "__main__":
    exit_with("api", main)
