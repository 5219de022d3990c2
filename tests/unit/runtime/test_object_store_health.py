"""Readiness hears whether the object store does its work, and never waits long for it."""

from __future__ import annotations

import threading

import pytest

from local.errors import CannotStart
from runtime import object_store_health
from runtime.object_store import StoreAway
from runtime.object_store_health import OK, ObjectStoreHealth, ask
from runtime.settings import Settings
from tests.twin.object_store import StoreFaults, TwinObjectStore


class Asked:
    """A health whose clock the test moves, on a twin."""

    def __init__(self) -> None:
        self.store, self.times, self.now_s = TwinObjectStore(tries=1), 0, 0.0
        self.health = ObjectStoreHealth(self.question, lambda: self.now_s)

    def question(self) -> None:
        self.times += 1
        ask(self.store, "test")


def test_one_answer_serves_all_who_ask_within_ten_seconds() -> None:
    asked = Asked()
    assert [asked.health.state() for _ in range(20)] == [OK] * 20
    assert asked.times == 1


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        (StoreFaults(away=True), "the object store does not answer (EndpointConnectionError)"),
        (StoreFaults(hangs=True), "the object store does not answer in time"),
        (StoreFaults(read_only=True), "the object store answered 403 AccessDenied to PutObject"),
        (StoreFaults(alters=True), "the object store returned other bytes than those it was given"),
    ],
)
def test_what_the_store_does_not_do_is_said_and_the_end_of_it_at_once(faults: StoreFaults, said: str) -> None:
    asked = Asked()
    asked.store.state.faults = faults
    assert asked.health.state() == said
    asked.store.mend()
    assert asked.health.state() == OK


def test_a_question_that_hangs_is_asked_once_and_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store_health, "ANSWER_S", 0.01)
    let, times, now_s = threading.Event(), [0], [0.0]

    def question() -> None:
        times[0] += 1
        assert let.wait(10)

    health = ObjectStoreHealth(question, lambda: now_s[0])
    assert health.state() == "no answer within 0.01 s"
    now_s[0] = 60
    assert health.state() == "the object store has not answered for 60 s"
    assert times == [1]
    let.set()


def test_a_defect_of_the_question_is_an_answer() -> None:
    def question() -> None:
        raise ZeroDivisionError

    assert ObjectStoreHealth(question).state() == "failed: ZeroDivisionError"


@pytest.mark.parametrize(
    "faults", [StoreFaults(refuses=frozenset({"conditional_writes"})), StoreFaults(ignores_conditions=True)]
)
def test_an_installation_is_not_begun_on_a_store_without_conditional_writes(
    monkeypatch: pytest.MonkeyPatch, faults: StoreFaults
) -> None:
    from local import install

    store = TwinObjectStore()
    monkeypatch.setattr(install, "ObjectStore", lambda settings: store)
    install.install_bucket(Settings())
    store.state.faults = faults
    with pytest.raises(CannotStart, match="expected an object store with conditional writes"):
        install.install_bucket(Settings())
    assert store.objects == {}


def test_a_full_store_does_not_do_its_work() -> None:
    store = TwinObjectStore()
    with store.faulty(full=True), pytest.raises(StoreAway, match="507"):
        ask(store, "test")
