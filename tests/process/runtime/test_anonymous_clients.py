"""What a broker does with a client without a name is found out quickly, whatever answers at its port."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from local.ports import HOST, free_port
from runtime import anonymous_clients
from runtime.anonymous_clients import OpenBroker, Treated, ask, require_names, topics_in
from runtime.kafka_credentials import Brokers, KafkaCredentials
from runtime.settings import Settings
from tests.stub_broker import StubBroker, metadata
from tests.waiting import until

NAMED = KafkaCredentials(security="sasl_plaintext", user="u", password="p")
LIMIT_S = 0.5


@contextmanager
def answering(*answers: bytes | None) -> Iterator[Brokers]:
    with ExitStack() as started:
        stubs = [started.enter_context(StubBroker(answer)) for answer in answers]
        yield Brokers(",".join(stub.address for stub in stubs), NAMED)


@pytest.mark.parametrize(
    ("answer", "treated"),
    [
        (metadata(topics=7), Treated.LET_IN),
        (metadata(topics=1, brokers=1_000), Treated.LET_IN),
        (metadata(topics=0), Treated.TURNED_AWAY),
        (b"", Treated.TURNED_AWAY),
        (None, Treated.AWAY),
        (metadata(topics=7)[:-5], Treated.AWAY),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Treated.AWAY),
        (b"\x15\x03\x03\x00\x02\x02\x50", Treated.AWAY),
    ],
    ids=["topics", "many brokers", "no topic", "hangs up", "silent", "half", "HTTP", "TLS"],
)
def test_each_answer_is_understood(answer: bytes | None, treated: Treated) -> None:
    with answering(answer) as brokers:
        ((address, found, _),) = ask(brokers, LIMIT_S)
    assert (address, found) == (brokers.addresses, treated)


def test_no_answer_is_read_without_an_end() -> None:
    with pytest.raises(ValueError, match="without an end"):
        topics_in(metadata(topics=0, brokers=60_000)[:-4])


def test_nobody_at_the_port_is_away() -> None:
    assert [answer.treated for answer in ask(Brokers(f"{HOST}:{free_port()}", NAMED), LIMIT_S)] == [Treated.AWAY]


def test_each_address_is_asked_and_all_together_in_the_time() -> None:
    with answering(None, b"", None, metadata(topics=3)) as brokers:
        began_s = time.monotonic()
        found = [answer.treated for answer in ask(brokers, LIMIT_S)]
        assert time.monotonic() - began_s < LIMIT_S + 0.5
        assert found == [Treated.AWAY, Treated.TURNED_AWAY, Treated.AWAY, Treated.LET_IN]


def test_one_open_broker_of_several_is_refused() -> None:
    with (
        answering(b"", metadata(topics=3)) as brokers,
        pytest.raises(OpenBroker, match="lists its 3 topics to one without a name"),
    ):
        require_names(Settings(kafka=brokers.addresses))


def test_for_development_nobody_is_asked() -> None:
    with answering(metadata(topics=3)) as brokers:
        require_names(Settings(kafka=brokers.addresses, kafka_development=True))


def test_who_was_away_is_asked_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(anonymous_clients, "ASK_AGAIN_S", 0.01)
    with StubBroker(metadata(topics=1)) as broker:
        pass
    require_names(Settings(kafka=broker.address))
    assert not ended
    with StubBroker(metadata(topics=1), int(broker.address.rpartition(":")[2])):
        until(lambda: ended, "the process ends", 10)
    assert ended == [1]
