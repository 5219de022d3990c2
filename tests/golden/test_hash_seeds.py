"""No decision depends on how strings hash. A set of names is iterated in another order in each process.

The mutant "iterate a set" takes away one `sorted` of the core at a time. Each shows in the life of
tests/golden/crowd.py, where everything comes several at once.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import pytest

from tests.golden import crowd
from tests.golden.rules import HERE

RULES = "from tests.golden.rules import ledger as life"
CROWD = "from tests.golden.crowd import life"
SETS = """
import builtins, sys
from scheduling import plan
plan.sorted = lambda names: list(set(names)) if sys._getframe(1).f_code.co_name == '_lose' else builtins.sorted(names)
"""
"""The mutant: attempts of a lost node are closed in the order of a set."""

ORDERED = (
    "state.capacity.start_attempt",
    "disciplines.discipline.ranks_of",
    "picking.limits._by_times",
    "attempts.orders._answer",
    "attempts.orders.clusters_for",
    "attempts.orders.standing_orders",
    "plan._drains",
    "plan._lapses",
    "plan._lose",
    "plan._recall_staged",
    "state.access.unconfined_nodes",
    "attempts.reports.close_all",
    "attempts.reports._versions",
    "attempts.reports.node_heartbeat",
    "attempts.retries.lost_alone",
)
"""Functions whose order is seen from outside. Everywhere else the core sorts what is kept in order anyhow."""


def made_with(seed: str, program: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    shown = "import sys; sys.stdout.buffer.write(b'\\n'.join(life()) + b'\\n')"
    command = [sys.executable, "-c", f"{program}\n{shown}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=HERE.parents[1])


def lives(program: str) -> set[str]:
    """The digests of what the program makes under several hash seeds."""
    makers = [made_with(seed, program) for seed in ("1", "2")]
    made = [maker.communicate(timeout=60)[0] for maker in makers]
    assert [maker.returncode for maker in makers] == [0, 0]
    assert min(map(len, made)) > 100_000
    return {hashlib.sha256(life).hexdigest() for life in made}


@pytest.mark.parametrize("program", [RULES, CROWD], ids=["golden", "crowd"])
def test_a_life_is_decided_byte_for_byte_under_any_hash_seed(program: str) -> None:
    assert len(lives(program)) == 1


def test_a_set_that_is_iterated_shows_under_another_hash_seed() -> None:
    assert len(lives(SETS + CROWD)) == 2


@pytest.fixture(scope="module")
def expected() -> list[bytes]:
    return crowd.life()


@pytest.mark.parametrize("place", ORDERED)
def test_another_order_than_the_sorted_one_shows(
    place: str, expected: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, function = place.rpartition(".")
    monkeypatch.setattr(import_module(f"scheduling.{module}"), "sorted", backwards_in(function), raising=False)
    assert crowd.life() != expected


def backwards_in(function: str) -> Callable[..., list[Any]]:
    """Gives one function a `sorted` that returns another order."""

    def ordered(names: Iterable[Any], **how: Any) -> list[Any]:
        found = sorted(names, **how)
        return found[::-1] if sys._getframe(1).f_code.co_name == function else found

    return ordered
