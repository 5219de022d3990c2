"""What `headrace status` says beside the parts: pools that wait or rest, records that were set aside, intake held up.

Each answer comes from another server. A server that does not answer is named, and the rest is shown all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import msgspec
from confluent_kafka import KafkaException
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from rich.text import Text

from cli import api_health, output
from cli.moments import now_ms
from contract.policy_check import warnings_of
from contract.topics import JOBS, SUBMISSIONS
from operations import quarantine
from operations.quarantine import Place, TopicCounts
from runtime import anonymous_clients
from runtime.kafka import OffsetGone, partitions
from runtime.object_store import UNAVAILABLE, ObjectStore
from runtime.object_store_health import ask, store_of_moment
from runtime.postgres import engine
from runtime.postgres_troubles import DATABASE_ERRORS, in_a_sentence
from runtime.settings import Settings
from streams.door.intake_positions import IntakePositions
from views import queries
from views.queries import PolicyView

HOUR_MS = 3_600_000
LOSS_SHOWN_MS = 7 * 24 * HOUR_MS
"""A loss is named for so long."""
COUNTED_MAX = 500
"""How many records of `quarantine` are counted. In three days there may be more than anybody reads."""
STATEMENT_TIMEOUT_MS = 5_000
_RESTING, _RESTING_OFFSET = "headrace_pool_resting", "headrace_pool_resting_jobs_offset"
_UNSIGNED = "headrace_pool_unsigned"
_MISSED = "headrace_pool_snapshots_missed"
"""Gauges of streams.metrics."""


class HeldUpPartition(msgspec.Struct, frozen=True):
    """A partition of `submissions` that does not go on."""

    record: str
    """The record that waits. All records behind it wait too."""
    waits_for: str
    since_ms: int


class LostSubmissions(msgspec.Struct, frozen=True):
    """A partition of `submissions` whose records expired before intake had read them."""

    partition: int
    lost: int
    """At most: some of the offsets may have held no record."""
    last_ms: int


class RestingPool(msgspec.Struct, frozen=True):
    """A pool whose host has ended, until it is opened anew."""

    pool: str
    record: str
    """The first record of `jobs` that is not decided. Empty: the pool had not come so far."""


class SetAsideCount(msgspec.Struct, frozen=True):
    """How many records of one topic were set aside."""

    topic: str
    last_hour: int
    kept: int
    newest: str
    """The record that was set aside last."""
    reason: str


class Troubles(msgspec.Struct):
    """What is not as it should be. All fields are empty when all is well."""

    failing: dict[str, str]
    """By name of a part that the API needs: what is wrong with it."""

    waiting: list[str]
    """Pools that no scheduler has opened yet."""
    resting: list[RestingPool]
    unreadable: dict[str, int]
    """By pool: how many jobs the views cannot show."""
    quarantine: list[SetAsideCount]
    quarantine_whole: bool
    """Whether all records in `quarantine` were counted. False: `quarantine` has more."""
    held_up: list[HeldUpPartition]
    lost: list[LostSubmissions]
    unsigned: list[str]
    """Pools that take records of `jobs` that nobody signed."""
    nameless: str
    """Why Kafka is open to whoever reaches it; empty when it is not, or does not answer."""
    policy_warnings: list[str]
    """What is dangerous in the policies in force."""
    snapshots_missed: dict[str, int]
    """By pool and where (`main, disk`): how many snapshots in a row could not be written."""
    unknown: list[str]
    """What could not be found out, in words."""


def find_troubles(here: Settings, schedulers: Sequence[str] = ()) -> Troubles:
    """The troubles at this moment. `schedulers`: the addresses of their metrics."""
    found = Troubles({}, [], [], {}, [], True, [], [], [], "", [], {}, [])
    try:
        health = api_health.api_health(here.api_url)
        found.failing, found.waiting, found.unreadable = dict(health.failing), health.waiting, health.unreadable
    except httpx.HTTPError:
        found.unknown.append("whether pools wait, or jobs cannot be shown, is not known: the API does not answer")
    for address in schedulers:
        try:
            samples = _samples(address)
            found.resting += _resting(samples)
            found.unsigned += sorted(s.labels["pool"] for s in samples if s.name == _UNSIGNED and s.value)
            found.snapshots_missed |= _missed(samples)
        except (httpx.HTTPError, ValueError):
            found.unknown.append("whether pools rest is not known: the scheduler does not answer")
    found.nameless = anonymous_clients.fault_of(anonymous_clients.ask(here.brokers))
    if "postgres" not in found.failing:
        try:
            found.policy_warnings = _dangers(policies_in_force(here))
        except DATABASE_ERRORS as error:
            found.failing["postgres"] = in_a_sentence(error)
    try:
        counted, found.quarantine_whole = quarantine.counts(here.brokers, now_ms() - HOUR_MS, COUNTED_MAX)
        found.quarantine = [_of(counts) for counts in counted]
    except KafkaException:
        found.unknown.append("what is in quarantine is not known: Kafka does not answer")
    try:
        store = store_of_moment(here)
        ask(store, "status")
    except UNAVAILABLE as fault:
        found.failing["object_store"] = (
            f"{fault}: nothing new is fetched or stored, results wait on their nodes and no job fails of it; `headrace"
            " doctor` tries what the store can do"
        )
        found.unknown.append("whether intake is held up is not known: the object store does not do its work")
    else:
        _find_held_up(here, store, found)
    return found


def describe(found: Troubles) -> list[Text]:
    """A line for each trouble, for people."""
    said = [Text(_named(part.replace("_", " "), wrong), "red") for part, wrong in found.failing.items()]
    said += [Text(f"pool {pool}: waits, no scheduler has opened it yet", "yellow") for pool in found.waiting]
    said += [
        Text(
            f"pool {its.pool}: rests{f' before {its.record}' if its.record else ''}, its host has ended; the"
            " scheduler's log says why; it is opened anew by itself within a minute",
            "red",
        )
        for its in found.resting
    ]
    said += [
        Text(
            f"pool {place}: {missed} snapshot{'' if missed == 1 else 's'} in a row could not be written there; the pool"
            " goes on, its next start takes longer; the scheduler's log says why",
            "yellow",
        )
        for place, missed in found.snapshots_missed.items()
    ]
    said += [
        Text(
            f"pool {pool}: {jobs} job{'' if jobs == 1 else 's'} that the views cannot show, in state `unreadable`; the"
            " projector's log names each with its ledger offset, and they go on",
            "yellow",
        )
        for pool, jobs in found.unreadable.items()
    ]
    said += [
        Text(
            f"intake: {held.record} waits for {held.waits_for} since {output.moment(held.since_ms)}, and all behind it;"
            f" `headrace quarantine skip {held.record}` passes it over",
            "red",
        )
        for held in found.held_up
    ]
    said += [
        Text(
            f"submissions: up to {its.lost} of partition {its.partition} expired before intake had read them, noticed"
            f" last {output.moment(its.last_ms)}; they are lost, though their producers have an acknowledgement:"
            " raise the policy's words_kept, and have them sent again",
            "red",
        )
        for its in found.lost
    ]
    said += [
        Text(
            f"pool {pool}: takes records of `jobs` that nobody signed, so whoever may write there may say anything; set"
            " HEADRACE_INSTALLATION_KEYS for its scheduler (docs/runbook.md)",
            "yellow",
        )
        for pool in found.unsigned
    ]
    said += [Text(found.nameless, "red")] if found.nameless else []
    said += [Text(f"warning: {warning}", "yellow") for warning in found.policy_warnings]
    least = "" if found.quarantine_whole else "at least "
    said += [
        Text(
            f"quarantine: of {its.topic} {least}{its.kept}, {its.last_hour} in the last hour; the newest is"
            f" {its.newest}: {its.reason}",
            "yellow" if its.last_hour else "dim",
        )
        for its in found.quarantine
    ]
    return said + [Text(words, "yellow") for words in found.unknown]


def policies_in_force(here: Settings) -> list[PolicyView]:
    """The policy of each pool, as the views know it. DATABASE_ERRORS."""
    database = engine(here, statement_timeout_ms=STATEMENT_TIMEOUT_MS)
    try:
        with database.connect() as connection:
            return queries.policies(connection)
    finally:
        database.dispose()


def _dangers(views: Sequence[PolicyView]) -> list[str]:
    """Each danger once: the pools of one installation mostly have one policy."""
    return list(dict.fromkeys(warning for view in views for warning in warnings_of(view.policy)))


def _named(part: str, wrong: str) -> str:
    """What is wrong, with the part's name before it unless the sentence begins with the name."""
    return wrong if wrong.startswith(f"the {part}") else f"{part}: {wrong}"


def _samples(address: str) -> list[Sample]:
    """A scheduler's metrics."""
    return [
        sample for family in text_string_to_metric_families(api_health.get(address).text) for sample in family.samples
    ]


def _missed(samples: Sequence[Sample]) -> dict[str, int]:
    return {
        f"{sample.labels['pool']}, {sample.labels['where']}": int(sample.value)
        for sample in samples
        if sample.name == _MISSED and sample.value
    }


def _resting(samples: Sequence[Sample]) -> list[RestingPool]:
    records = {
        sample.labels["pool"]: str(Place(JOBS, int(sample.labels["partition"]), int(sample.value)))
        for sample in samples
        if sample.name == _RESTING_OFFSET
    }
    pools = sorted(sample.labels["pool"] for sample in samples if sample.name == _RESTING and sample.value)
    return [RestingPool(pool, records.get(pool, "")) for pool in pools]


def _find_held_up(here: Settings, store: ObjectStore, found: Troubles) -> None:
    try:
        found.held_up, found.lost = _at_the_door(here, store)
    except (KafkaException, OffsetGone):
        found.unknown.append("whether intake is held up is not known: Kafka does not answer")
    except UNAVAILABLE as fault:
        found.unknown.append(f"whether intake is held up is not known: {fault}")


def _at_the_door(here: Settings, store: ObjectStore) -> tuple[list[HeldUpPartition], list[LostSubmissions]]:
    """Partitions of `submissions` that do not go on, and those of which records were lost not long ago."""
    positions = IntakePositions(store, here.brokers)
    held, lost = [], []
    for partition in range(partitions(here.brokers, SUBMISSIONS)):
        place = positions.place(partition)
        if place.waits_for:
            record = Place(SUBMISSIONS, partition, place.offset)
            held.append(HeldUpPartition(str(record), place.waits_for, place.since_ms))
        if place.lost and place.lost_ms > now_ms() - LOSS_SHOWN_MS:
            lost.append(LostSubmissions(partition, place.lost, place.lost_ms))
    return held, lost


def _of(counts: TopicCounts) -> SetAsideCount:
    newest = counts.newest
    return SetAsideCount(counts.topic, counts.last_hour, counts.kept, str(newest.place), newest.reason)
