"""Whether a broker lets clients without a name in: behind such a broker whoever reaches its port reads every prompt and
says what anybody may say. Every process of ours asks at its start, and refuses such a broker.

The question is one request of Kafka's protocol, made by hand. A broker that asks for names hangs up on who sends it;
librdkafka takes that for an outage, and tries again until its time is over.
"""

from __future__ import annotations

import os
import queue
import socket
import ssl
import struct
import threading
import time
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple
from urllib.parse import urlsplit

import structlog

from runtime.kafka_credentials import Brokers
from runtime.settings import Settings, SettingUnusable

log = structlog.get_logger(__name__)

ASK_TIMEOUT_S = 3.0
"""For all addresses together. A broker that has not answered by then is away, as far as this question goes."""
ASK_AGAIN_S = 5.0
PORT_DEFAULT = 9092
ANSWER_BYTES_MAX = 1024 * 1024
"""The answer is read up to the number of topics. Before that it names the brokers only."""
EXIT_FAILED = 1
REMEDY = (
    "give the brokers users and an authorizer (docs/runbook.md, Kafka with users), or set"
    " HEADRACE_KAFKA_DEVELOPMENT=true if they are for development"
)

_METADATA, _VERSION, _CORRELATION, _ALL_TOPICS = 3, 1, 1, -1
_CLIENT_ID = b"headrace"
DEVELOPMENT = (
    "speaks to brokers that may let anybody in: HEADRACE_KAFKA_DEVELOPMENT says that they are for development, so this"
    " process does not ask them"
)


class Treated(Enum):
    """What a broker does with a client that does not say who it is."""

    LET_IN = auto()
    """The client may list topics."""
    TURNED_AWAY = auto()
    AWAY = auto()
    """It does not answer; or it is no broker."""


class AnonymousAnswer(NamedTuple):
    address: str
    treated: Treated
    topics: int = 0
    """How many it lists to such a client."""


class OpenBroker(SettingUnusable):
    """A broker lets clients without a name in."""


def ask(brokers: Brokers, timeout_s: float = ASK_TIMEOUT_S) -> tuple[AnonymousAnswer, ...]:
    """What each of the addresses does with a client without a name. It takes no longer than `timeout_s`."""
    addresses = brokers.addresses.split(",")
    answers: queue.SimpleQueue[AnonymousAnswer] = queue.SimpleQueue()
    end_s = time.monotonic() + timeout_s
    for address in addresses:
        asking = threading.Thread(
            target=lambda one: answers.put(_ask(one, brokers, end_s)), args=(address,), name="anonymous", daemon=True
        )
        asking.start()
    found: dict[str, AnonymousAnswer] = {}
    while len(found) < len(set(addresses)):
        try:  # the resolver of names knows no time limit, so its thread may be left behind
            answer = answers.get(timeout=max(0.0, end_s - time.monotonic()))
        except queue.Empty:
            break
        found[answer.address] = answer
    return tuple(found.get(address) or AnonymousAnswer(address, Treated.AWAY) for address in addresses)


def found_in(answers: Sequence[AnonymousAnswer]) -> str:
    """Which broker lets clients without a name in; empty when none is known to."""
    open_ones = [answer for answer in answers if answer.treated is Treated.LET_IN]
    return f"{open_ones[0].address} lists its {open_ones[0].topics} topics to one without a name" if open_ones else ""


def fault_of(answers: Sequence[AnonymousAnswer]) -> str:
    """What is wrong with these brokers, in a sentence; empty when nothing is known to be."""
    found = found_in(answers)
    if not found:
        return ""
    return (
        f"expected Kafka to ask every client for its name, found that {found}, so whoever reaches it reads every prompt"
        f" and speaks for anybody; {REMEDY}"
    )


def require_names(settings: Settings) -> None:
    """First thing in the main function of a process. OpenBroker when a broker lets clients without a name in.

    A broker that is away is not refused: it is asked again until it answers, and if it lets such clients in then, the
    process ends."""
    if settings.kafka_development:
        log.warning(DEVELOPMENT)
        return
    brokers = settings.brokers
    if away := _away(brokers):
        threading.Thread(target=_ask_again, args=(away,), name="anonymous", daemon=True).start()


def _away(brokers: Brokers) -> Brokers | None:
    """The brokers that do not answer. OpenBroker."""
    answers = ask(brokers)
    if fault := fault_of(answers):
        raise OpenBroker(fault)
    away = [answer.address for answer in answers if answer.treated is Treated.AWAY]
    return Brokers(",".join(away), brokers.credentials) if away else None


def _ask_again(away: Brokers | None) -> None:
    try:
        while away is not None:
            time.sleep(ASK_AGAIN_S)
            away = _away(away)
    except OpenBroker as found:
        log.error("cannot run", found=str(found))
        os._exit(EXIT_FAILED)


def _ask(address: str, brokers: Brokers, end_s: float) -> AnonymousAnswer:
    parts = urlsplit(f"//{address}")
    try:
        with (
            socket.create_connection((parts.hostname, parts.port or PORT_DEFAULT), _left(end_s)) as plain,
            _encrypted(plain, parts.hostname or "", brokers) as connection,
        ):
            return _listed(address, connection, end_s)
    except (OSError, ValueError):
        return AnonymousAnswer(address, Treated.AWAY)


def _left(end_s: float) -> float:
    """Seconds until then. TimeoutError when it is over."""
    left_s = end_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _encrypted(plain: socket.socket, host: str, brokers: Brokers) -> socket.socket:
    """The connection as our clients make it, but for their name."""
    shown = brokers.credentials
    if not shown.has_tls:
        return plain
    return ssl.create_default_context(cafile=shown.ca or None).wrap_socket(plain, server_hostname=host)


def _listed(address: str, connection: socket.socket, end_s: float) -> AnonymousAnswer:
    """OSError and ValueError when this is no broker, or does not answer in time."""
    body = struct.pack(">hhih", _METADATA, _VERSION, _CORRELATION, len(_CLIENT_ID)) + _CLIENT_ID
    body += struct.pack(">i", _ALL_TOPICS)
    answer = b""
    try:
        connection.sendall(struct.pack(">i", len(body)) + body)
        while (topics := topics_in(answer)) is None:
            connection.settimeout(_left(end_s))
            more = connection.recv(65_536)
            if not more:
                return AnonymousAnswer(address, Treated.AWAY if answer else Treated.TURNED_AWAY)
            answer += more
    except (ConnectionError, ssl.SSLError):  # it hung up, or asks for a certificate
        return AnonymousAnswer(address, Treated.TURNED_AWAY)
    return AnonymousAnswer(address, Treated.LET_IN if topics else Treated.TURNED_AWAY, topics)


def topics_in(answer: bytes) -> int | None:
    """How many topics the answer lists; None when more of it must come. ValueError when it is no broker's."""
    if len(answer) > ANSWER_BYTES_MAX:
        raise ValueError("an answer without an end")
    try:
        correlation, brokers = struct.unpack_from(">ii", answer, 4)
        if correlation != _CORRELATION or brokers < 0:
            raise ValueError("the answer of another server")
        at = 12
        for _ in range(brokers):
            at = _past_text(answer, at + 4)  # its id and host
            at = _past_text(answer, at + 4)  # its port and rack
        (topics,) = struct.unpack_from(">i", answer, at + 4)  # behind the id of the controller
    except struct.error:
        return None
    return int(topics)


def _past_text(answer: bytes, at: int) -> int:
    """Where the text that begins there ends. A length of -1: there is none."""
    (length,) = struct.unpack_from(">h", answer, at)
    return at + 2 + max(0, int(length))
