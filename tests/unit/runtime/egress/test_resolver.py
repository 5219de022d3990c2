"""Names are looked up once, in bounded time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from runtime.egress.refusal import EgressRefused, EgressTrouble
from runtime.egress.resolver import Resolver
from tests.waiting import PATIENCE_S, until


def test_all_addresses_are_given_in_their_order_each_once() -> None:
    found = Resolver(lambda _: ["9.9.9.9", "2606:4700::1111", "9.9.9.9"]).addresses("a.example", 5.0)
    assert found == (ip_address("9.9.9.9"), ip_address("2606:4700::1111"))


@pytest.mark.parametrize("answer", [[], ["9.9.9.9", "nonsense"], ["0177.0.0.1"]])
def test_what_is_no_address_is_refused(answer: list[str]) -> None:
    with pytest.raises(EgressRefused) as refused:
        Resolver(lambda _: answer).addresses("a.example", 5.0)
    assert refused.value.trouble is EgressTrouble.HOST


@pytest.mark.parametrize(
    ("error", "trouble", "is_passing"),
    [
        (socket.gaierror(socket.EAI_NONAME, "10.0.0.53 says no"), EgressTrouble.HOST, False),
        (socket.gaierror(socket.EAI_AGAIN, "10.0.0.53 is away"), EgressTrouble.RESOLVER, True),
        (UnicodeError("label too long"), EgressTrouble.HOST, False),
        (OSError("10.0.0.53"), EgressTrouble.HOST, False),
    ],
)
def test_an_outage_of_the_resolver_passes_and_no_name_does_not(
    error: Exception, trouble: EgressTrouble, is_passing: bool
) -> None:
    def lookup(_: str) -> Sequence[str]:
        raise error

    with pytest.raises(EgressRefused) as refused:
        Resolver(lookup).addresses("a.example", 5.0)
    assert (refused.value.trouble, refused.value.is_passing) == (trouble, is_passing)
    assert "10.0" not in str(refused.value)


def test_nobody_waits_for_a_resolver_that_hangs_and_few_threads_do() -> None:
    let_go, asked = threading.Event(), []

    def lookup(host: str) -> Sequence[str]:
        asked.append(host)
        let_go.wait(PATIENCE_S)
        return ["9.9.9.9"]

    hanging = Resolver(lookup, at_once=2)
    for host in ("a.example", "b.example", "c.example"):
        with pytest.raises(EgressRefused) as refused:
            hanging.addresses(host, 0.001)
        assert refused.value.trouble is EgressTrouble.UNREACHABLE
    until(lambda: len(asked) == 2, "both look-ups to begin")
    assert asked == ["a.example", "b.example"]
    let_go.set()
    until(lambda: _answers(hanging), "places to be free again")


def _answers(hanging: Resolver) -> bool:
    try:
        return hanging.addresses("d.example", 5.0) == (ip_address("9.9.9.9"),)
    except EgressRefused:
        return False
