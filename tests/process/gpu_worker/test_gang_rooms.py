"""Ranks of a gang on one node, behind their layers: they reach each other, and nobody else reaches them."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gpu_worker.child.work import rendezvous_here
from gpu_worker.rules.outcome import Computed, Failure
from runtime.worker.canary_flight import probe
from runtime.worker.confinement import Form, confinement, forms
from tests.process.gpu_worker.gang_bench import DEADLINE_S, TORCH_DEADLINE_S, Ranks, closing, torch_python

FACTS = probe()
FORMS = [form for form in forms(FACTS) if form in (Form.OWN_USER, Form.NAMESPACES)]
if FACTS.user_namespace and Form.NAMESPACES not in FORMS:
    FORMS.append(Form.NAMESPACES)  # as a user has it
pytestmark = pytest.mark.skipif(not FORMS, reason="the kernel lets no child have a view of its own")


@pytest.fixture(params=FORMS)
def ranks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ranks]:
    yield from closing(held(request.param, tmp_path, sys.executable, DEADLINE_S))


def held(form: Form, folder: Path, python: str, deadline_s: float) -> Ranks:
    folder.chmod(0o711)
    (folder / "root").mkdir()
    confined = confinement(form, FACTS, folder / "root", [folder], {})
    return Ranks(folder, python, deadline_s, confinement=confined)


def sums(ranks: Ranks) -> None:
    outcome = ranks.outcome(0)
    assert isinstance(outcome, Computed), outcome
    assert msgspec.json.decode(outcome.values)["sum"] == [3.0, 20.0]
    assert isinstance(ranks.outcome(1), Computed)


def test_they_join_and_compute(ranks: Ranks) -> None:
    ranks.launch("sum")
    sums(ranks)


@pytest.mark.parametrize("form", FORMS)
def test_they_join_through_torch(form: Form, tmp_path: Path) -> None:
    if not torch_python():
        pytest.skip("no interpreter here has torch; to hold this against it too: TORCH_PYTHON=/path/to/its/python")
    for ranks in closing(held(form, tmp_path, torch_python(), TORCH_DEADLINE_S)):
        ranks.launch("sum")
        sums(ranks)


def test_whichever_starts_first(ranks: Ranks) -> None:
    ranks.launch("sum", 1, 0)
    sums(ranks)


def test_a_port_of_the_machine_is_no_port_of_theirs(ranks: Ranks) -> None:
    """Whoever is on the machine can neither take the port at which the ranks meet, nor be one of them there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ranks.launch("sum", at=f"127.0.0.1:{taken.getsockname()[1]}")
        sums(ranks)


def test_nobody_else_reaches_where_they_meet(ranks: Ranks) -> None:
    at = rendezvous_here()
    ranks.launch("wait", at=at)
    ranks.computing()
    host, _, port = at.rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


def test_they_share_memory_and_nobody_else_does(ranks: Ranks) -> None:
    ranks.launch("share")
    outcome = ranks.outcome(0)
    assert isinstance(outcome, Computed), outcome
    assert msgspec.json.decode(outcome.values) == {"found": "rank 1"}
    assert not Path("/dev/shm/headrace-rank").exists()


def test_a_rank_whose_first_does_not_start_does_not_wait_for_it(ranks: Ranks) -> None:
    ranks.launch("sum", 1)
    room = ranks.rooms[0]
    assert room is not None
    room.started(0)  # as if the first rank's process had ended before it handed anything on
    outcome = ranks.outcome(1)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.error) == ("child_died", "Exit126")


def test_a_rank_that_is_killed_is_the_news(ranks: Ranks) -> None:
    ranks.launch("wait")
    ranks.computing()
    os.kill(ranks.slots[1].pid, signal.SIGKILL)
    outcome = ranks.outcome(1)
    assert (outcome.kind, outcome.error) == ("child_died", "Signal9")
