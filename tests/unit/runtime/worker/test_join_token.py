"""A node's join carries its token, and nothing else of the node does."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contract.codec import decode_input
from contract.inputs import NodeHeartbeat, NodeJoined, Wire
from contract.join_tokens import JOIN_TOKEN_HEADER, make
from contract.signers import node_signer
from contract.signing import InstallationKey, RecordSigner, Verifier
from runtime.kafka import Delivery, RecordHeaders
from runtime.settings import Settings
from runtime.worker.node import NodeIdentity
from runtime.worker.report_sender import ReportSender

KEY = InstallationKey(b"k" * 32)
TOKEN = make(KEY, "main", "n1", 1_790_000_000_000)

Sent = tuple[Wire, RecordHeaders]


class Sink:
    """A producer that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def offer(
        self, topic: str, value: bytes | None, *, key: Any, headers: Any, partition: Any, on_delivery: Any
    ) -> None:
        assert Verifier([KEY]).signer_of(partition, headers, key, value) == node_signer("main", "n1")
        self.sent.append((decode_input(value), headers))


def said_by(token: str) -> list[Sent]:
    node = NodeIdentity("main", "n1", 1, "cpu", 0, 0, 0, 1, 5.0, join_token=token)
    sink: Any = Sink()
    sender = ReportSender(node, sink, RecordSigner(KEY.of(node_signer("main", "n1"))), lambda _: None)
    for said in (node.join("s1", (), 2), NodeHeartbeat("n1", "s1")):
        sender.queue.heartbeat(said) if isinstance(said, NodeHeartbeat) else sender.queue.say(said)
        sender.send_next()
        sender.delivered(Delivery(0, 1, 1))
    sent: list[Sent] = sink.sent
    assert [type(said) for said, _ in sent] == [NodeJoined, NodeHeartbeat]
    return sent


def test_the_join_alone_carries_the_token() -> None:
    (_, joining), (_, heartbeat) = said_by(TOKEN)
    assert dict(joining)[JOIN_TOKEN_HEADER] == TOKEN.encode()
    assert JOIN_TOKEN_HEADER not in dict(heartbeat)
    assert not any(JOIN_TOKEN_HEADER in dict(headers) for _, headers in said_by(""))


def test_the_setting_takes_a_token_and_shows_it_to_nobody() -> None:
    settings = Settings(join_token=TOKEN)
    assert TOKEN not in repr(settings)
    assert TOKEN not in repr(NodeIdentity("main", "n1", 1, "cpu", 0, 0, 0, 1, 5.0, join_token=TOKEN))
    with pytest.raises(ValidationError, match="expected a join token as `headrace nodes token` prints it") as refused:
        Settings(join_token=TOKEN[:-1])
    assert TOKEN[:-1] not in str(refused.value)
