"""Payloads and versions: at once when they are here, else by threads, with one fetch for all that wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import msgspec
import pytest

from contract.codec import encode
from contract.inputs import JobSubmitted, NodeLeft, Submission
from contract.names import payload_digest
from contract.orders import Payload, Run
from gpu_worker.io.inputs import CHECKED_AT_ONCE_BYTES_MAX, INPUTS_BYTES_MAX
from gpu_worker.io.prepared_inputs import PreparedFetcher
from gpu_worker.io.supplies import Supplies, SuppliesFetcher
from gpu_worker.rules.outcome import Failure
from registry.depot import InstalledVersion
from registry.errors import Code, RegistryError
from runtime.object_store import Missing
from runtime.worker.outages import OutageWaits
from tests.twin.object_store import StoreFaults, TwinObjectStore
from tests.unit.gpu_worker.programs import installed
from tests.unit.gpu_worker.results_bench import AWAY
from tests.waiting import until

BYTES_MAX = 2**26
"""More than any object here has."""

SALT, INPUTS = "ab" * 16, b'{"prompt":"words"}'
DIGEST = payload_digest(SALT, INPUTS)
JOB = "main-" + "0" * 32
HOUR_S = 3600
RECORD = encode(JobSubmitted(Submission(JOB, "t", "api", "m", DIGEST, "api"), msgspec.Raw(INPUTS), SALT))


def order(dispatch: str = "1.1.0", version: str = "v1", *, carried: bool = True, **changes: Any) -> Run:
    payload = Payload(msgspec.Raw(INPUTS), SALT) if carried else None
    run = Run("n", "s", "p", 1, JOB, 1, dispatch, "m", version, 1000, 0, 7, DIGEST, payload)
    return msgspec.structs.replace(run, **changes)


class Depot:
    """Installs a version when the test lets it; notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.wheels: list[bool] = []
        self.let = threading.Event()
        self.let.set()
        self.faults: list[Exception] = []
        self.store = TwinObjectStore(tries=2)
        for known in ("v0", "v1", "v2", "slow"):
            self.store.place(known, b"")
        self.uses: SimpleQueue[str] = SimpleQueue()

    def ensure(self, version: str, *, wheels_from_index: bool = True) -> InstalledVersion:
        self.asked.append(version)
        self.wheels.append(wheels_from_index)
        assert self.let.wait(10)
        if self.faults:
            raise self.faults.pop(0)
        try:
            self.store.get(version, BYTES_MAX)
        except Missing:
            raise RegistryError("not_found", "no such blob") from None
        return installed(version=version)

    def mark_used(self, version: str) -> None:
        self.uses.put(version)


class NoPlaces:
    """For a node whose jobs have no media."""

    def fetched(self, dispatch: str) -> str:
        raise NotImplementedError

    def make_fetched(self, dispatch: str) -> None:
        raise NotImplementedError


class Table:
    def __init__(self, read: Callable[[int, int], bytes | None] = lambda *_: RECORD) -> None:
        self.depot = Depot()
        self.waits: list[tuple[str, str]] = []
        self.rests_s: list[float] = []
        self.on_rest: Callable[[], None] = lambda: None
        self.told: SimpleQueue[tuple[str, Supplies | Failure]] = SimpleQueue()
        self.fetcher = SuppliesFetcher(
            self.depot,
            read,
            lambda *told: self.told.put(told),
            OutageWaits(self.note_wait, pause=self.pause, now_s=self.depot.store.clock.now_s),
            PreparedFetcher(self.depot.store, NoPlaces(), OutageWaits(self.note_wait), 0),
        )

    def note_wait(self, what: str, cause: str) -> None:
        self.waits.append((what, cause))

    def pause(self, seconds: float) -> None:
        self.depot.store.clock.pass_(seconds)
        self.rests_s.append(seconds)
        self.on_rest()

    def fetched(self, run: Run) -> Supplies | Failure:
        assert self.fetcher.fetch(run) is None
        dispatch, result = self.told.get(timeout=10)
        assert dispatch == run.dispatch
        return result


@pytest.mark.parametrize("carried", [True, False])
def test_what_the_order_says_of_wheels_reaches_the_depot(carried: bool) -> None:
    table = Table()
    table.fetched(order(wheels_from_index=False, carried=carried))
    table.fetched(order("1.2.0", "v2", carried=carried))
    assert table.depot.wheels == [False, True]


def test_a_carried_payload_for_a_version_that_is_here_needs_no_thread() -> None:
    table = Table()
    table.fetched(order())
    supplies = table.fetcher.fetch(order("1.2.0"))
    assert supplies is not None
    assert bytes(supplies.inputs) == INPUTS
    assert table.depot.asked == ["v1"]
    assert table.fetcher.cached == ("v1",)


def looking(looked: list[tuple[int, int]]) -> Callable[[int, int], bytes | None]:
    """Finds the record, and notes where it was looked for."""

    def read(partition: int, offset: int) -> bytes | None:
        looked.append((partition, offset))
        return RECORD

    return read


def test_a_payload_is_read_by_offset_when_the_order_has_none_or_a_wrong_one() -> None:
    wrong = Payload(msgspec.Raw(b'{"prompt":"other"}'), SALT)
    for run in (order(carried=False), order(payload=wrong)):
        looked: list[tuple[int, int]] = []
        result = Table(looking(looked)).fetched(run)
        assert isinstance(result, Supplies)
        assert bytes(result.inputs) == INPUTS
        assert looked == [(0, 7)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"not json",
        encode(NodeLeft("n", "s")),
        RECORD.replace(b"words", b"other"),
        RECORD.replace(SALT.encode(), b"cd" * 16),
        RECORD.replace(SALT.encode(), b"not hex"),
        RECORD.replace(JOB.encode(), b"main-" + b"1" * 32),
    ],
    ids=["tombstone", "garbage", "another record", "other words", "other salt", "no salt", "another job"],
)
def test_a_payload_that_is_not_the_one_submitted_is_missing(value: bytes | None) -> None:
    assert Table(lambda *_: value).fetched(order(carried=False)) == Failure("payload_missing", "PayloadMissing")


def test_a_broker_that_is_away_is_waited_for() -> None:
    answers: list[Exception | bytes | None] = [*[OSError("away")] * 9, None, RECORD]

    def read(_partition: int, _offset: int) -> bytes | None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    table = Table(read)
    assert isinstance(table.fetched(order(carried=False)), Supplies)
    assert table.waits == [("payload 1.1.0", "payloads"), ("payload 1.1.0", "")]


def test_one_fetch_serves_all_who_wait_and_holds_up_nobody_else() -> None:
    table = Table()
    table.fetched(order("1.0.0", "v0"))
    table.depot.let.clear()
    for number in range(10):
        assert table.fetcher.fetch(order(f"1.1.{number}", "slow")) is None
    assert table.fetcher.fetch(order("1.2.0", "v0")) is not None
    table.depot.let.set()
    assert {table.told.get(timeout=10)[0] for _ in range(10)} == {f"1.1.{number}" for number in range(10)}
    assert table.depot.asked == ["v0", "slow"]


def test_what_nobody_wants_any_more_is_not_told() -> None:
    table = Table()
    table.depot.let.clear()
    table.fetcher.fetch(order("1.1.0"))
    table.fetcher.fetch(order("1.2.0"))
    table.fetcher.forget("1.1.0")
    table.depot.let.set()
    assert table.told.get(timeout=10)[0] == "1.2.0"
    assert table.told.empty()


@pytest.mark.parametrize("fault", AWAY, ids=lambda fault: type(fault).__name__)
def test_a_store_that_is_away_is_tried_again(fault: Exception) -> None:
    table = Table()
    table.depot.faults = [fault]
    assert isinstance(table.fetched(order()), Supplies)
    assert len(table.depot.asked) == 2
    assert table.waits == [], "a moment is told to nobody"


@pytest.mark.parametrize(
    "faults", [StoreFaults(away=True), StoreFaults(hangs=True), StoreFaults(slow_s=100)], ids=["away", "hangs", "slow"]
)
def test_an_order_is_held_for_an_hour_without_the_store_and_supplied_ten_seconds_after(faults: StoreFaults) -> None:
    table = Table()
    ended_s: list[float] = []
    clock = table.depot.store.clock

    def on_rest() -> None:
        if not ended_s and clock.now_s() >= HOUR_S:
            table.depot.store.mend()
            ended_s.append(max(HOUR_S, clock.now_s() - table.rests_s[-1]))  # as this rest began

    table.on_rest = on_rest
    table.depot.store.state.faults = faults
    assert isinstance(table.fetched(order()), Supplies)
    assert clock.now_s() - ended_s[0] <= 10
    assert table.waits == [("version v1", "store"), ("version v1", "")]


def test_a_full_disk_is_waited_for_and_said() -> None:
    table = Table()
    full = RegistryError("unavailable", "the disk is full")
    full.__context__ = OSError(28, "No space left on device")
    table.depot.faults = [full, OSError(28, "No space left on device"), OSError(30, "Read-only file system")] * 3
    assert isinstance(table.fetched(order()), Supplies)
    assert table.waits == [("version v1", "disk"), ("version v1", "")]


def test_a_version_that_nobody_waits_for_any_more_is_given_up() -> None:
    table = Table()
    table.depot.store.state.faults = StoreFaults(away=True)
    assert table.fetcher.fetch(order()) is None
    until(lambda: table.waits, "the thread to wait", 10)
    table.fetcher.forget("1.1.0")
    until(lambda: table.waits[-1:] == [("version v1", "")], "the thread to give up", 10)
    table.depot.store.mend()
    assert isinstance(table.fetched(order("1.2.0")), Supplies), "whoever comes later is served"


@pytest.mark.parametrize("code", ["corrupt", "not_found"])
def test_a_version_that_is_missing_or_damaged_is_looked_for_three_times(code: Code) -> None:
    table = Table()
    table.depot.faults = [RegistryError(code, "at first")] * 2
    assert isinstance(table.fetched(order()), Supplies)
    assert table.waits == [], "that is no outage"
    assert Table().fetched(order(version="gone")) == Failure(
        "environment", "RegistryError", "RegistryError: no such blob\n"
    )


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            RegistryError("environment", "no such wheel"),
            Failure("environment", "RegistryError", "RegistryError: no such wheel\n"),
        ),
        (PermissionError(13, "denied"), Failure("environment", "PermissionError")),
    ],
)
def test_a_version_that_cannot_be_had_fails_at_once(fault: Exception, expected: Failure) -> None:
    table = Table()
    table.depot.faults = [fault]
    assert table.fetched(order()) == expected
    assert isinstance(table.fetched(order("1.2.0")), Supplies)


def test_a_version_that_did_not_start_is_looked_at_again() -> None:
    table = Table()
    table.fetched(order())
    table.fetcher.distrust("v1")
    table.fetched(order("1.2.0"))
    assert table.depot.asked == ["v1", "v1"]


def test_a_version_is_fetched_ahead() -> None:
    table = Table()
    done = threading.Event()
    table.fetcher.prefetch("v1", done.set)
    assert done.wait(10)
    assert table.fetcher.cached == ("v1",)


def carrying(inputs: bytes, **changes: Any) -> Run:
    return order(payload=Payload(msgspec.Raw(inputs), SALT), digest=payload_digest(SALT, inputs), **changes)


@pytest.mark.parametrize("here", [True, False], ids=["version here", "version not here"])
@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (b'{"n":1e999}', "expected inputs with finite numbers of fewer digits, found one that no number type holds\n"),
        (b"[1%s]" % (b"0" * 30), "inputs: expected whole numbers from "),
        (b'{"p":"\xff"}', "expected inputs in UTF-8, found other bytes\n"),
        (b'{"p":"\\ud83d"}', "expected inputs as JSON of whole characters, found half a surrogate pair\n"),
        (b'{"p":"\\u0000"}', "inputs: expected text without the character NUL, found one\n"),
        (b"[" * 90 + b"]" * 90, "inputs: expected lists and objects at most 64 deep, found more\n"),
        (b'"' + b"x" * INPUTS_BYTES_MAX + b'"', "inputs: expected at most 4128768 bytes, found 4128770\n"),
    ],
    ids=["infinite", "digits", "not UTF-8", "half a pair", "NUL", "deep", "large"],
)
def test_inputs_that_no_child_can_be_given_are_refused_with_a_sentence(
    inputs: bytes, sentence: str, *, here: bool
) -> None:
    table = Table()
    if here:
        table.fetched(order("1.0.0"))
    result = table.fetched(carrying(inputs))
    assert isinstance(result, Failure)
    assert (result.kind, result.error) == ("bad_inputs", "InputsUnreadable")
    assert result.detail.startswith(sentence)


def test_what_an_older_release_wrote_into_jobs_is_refused_the_same() -> None:
    inputs = b'{"n":1e999}'
    digest = payload_digest(SALT, inputs)
    record = encode(JobSubmitted(Submission(JOB, "t", "api", "m", digest, "api"), msgspec.Raw(inputs), SALT))
    result = Table(lambda *_: record).fetched(order(carried=False, digest=digest))
    assert isinstance(result, Failure)
    assert (result.kind, result.error) == ("bad_inputs", "InputsUnreadable")


def test_large_inputs_are_looked_at_in_another_thread() -> None:
    table = Table()
    table.fetched(order("1.0.0"))
    inputs = b'"' + b"x" * CHECKED_AT_ONCE_BYTES_MAX + b'"'
    result = table.fetched(carrying(inputs))
    assert isinstance(result, Supplies)
    assert bytes(result.inputs) == inputs


def test_the_depot_hears_which_version_is_used_when_it_is_another_one() -> None:
    table = Table()
    for version in ("v1", "v2"):
        table.fetched(order("1.0.0", version))
    for version in ("v1", "v1", "v2"):
        assert table.fetcher.fetch(order("1.2.0", version)) is not None
    assert [table.depot.uses.get(timeout=10) for _ in range(2)] == ["v1", "v2"]
    assert table.depot.uses.empty()
