"""What CONTRIBUTING.md lists for each recipe is checked: a record, a topic, an event or a version of the rules that was
added by half fails here, and the message names the file where the other half belongs."""

from __future__ import annotations

import importlib
import pkgutil
from typing import get_args

import msgspec

import contract
from audit.verify.releases import RELEASES
from contract import schemas
from contract.events import Event
from contract.inputs import Report
from contract.lifecycle import ANYWHERE, TRANSITIONS
from contract.policy import Cluster, Policy, Pool, Tier
from contract.topics import topics_for
from scheduling import RULES
from scheduling.evolve import _CHANGES
from views.words import JOB_EVENTS

POLICY = Policy(
    tiers={"free": Tier(1_000)}, pools={"main": Pool(0)}, clusters={"{cluster}": Cluster("main", 1)}, discipline="fifo"
)
"""A cluster of this name has the dispatch topic that contract/schemas.py describes."""


def test_every_record_of_the_contract_has_a_schema_and_golden_bytes() -> None:
    modules = [importlib.import_module(f"contract.{module.name}") for module in pkgutil.iter_modules(contract.__path__)]
    tagged = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__struct_config__.tag is not None
    }
    parts = set(get_args(Report))
    """What is said of one attempt, inside a NodeReport."""
    assert tagged - parts == set(schemas.record_types()), "add the record to record_types() in contract/schemas.py"


def test_every_topic_is_described() -> None:
    described = {channel["address"] for channel in schemas.asyncapi("any")["channels"].values()}
    created = {topic.name for topic in topics_for(POLICY)}
    assert created == described, "a topic stands in contract/topics.py and, with its records, in contract/schemas.py"


def test_every_event_changes_state_or_says_that_it_does_not() -> None:
    assert set(get_args(Event)) - set(_CHANGES) == set(), "give the event its line in _CHANGES of scheduling/evolve.py"


def test_every_event_of_a_job_has_a_sentence() -> None:
    of_jobs = {event for ways in TRANSITIONS.values() for event in ways} | ANYWHERE
    told = {kind.__name__ for kind in JOB_EVENTS}
    assert of_jobs == told, "give the event its sentence in _WORDS of views/words.py"


def test_the_rules_before_todays_name_the_release_that_decides_them_again() -> None:
    assert set(range(1, RULES)) <= set(RELEASES), "add the old number to RELEASES in audit/verify/releases.py"
