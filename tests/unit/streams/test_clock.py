"""The clock of a pool: the broker's time, and lease time that counts only while `jobs` is read."""

from __future__ import annotations

from contract.batch import ELAPSED_MAX_MS, INPUT_AHEAD_MAX_MS
from contract.inputs import CancelRequested, Input
from streams.ledger.clock import PoolClock


def begun(mono_ms: int = 1_000) -> PoolClock:
    """A clock whose first batch was begun at that reading."""
    clock = PoolClock()
    assert clock.take_elapsed_ms(mono_ms) == 0
    return clock


def at(at_ms: int) -> Input:
    return Input(0, at_ms, CancelRequested("main-1", "acme"))


def test_lease_time_is_the_time_between_batches() -> None:
    clock = begun(1_000)
    assert [clock.take_elapsed_ms(mono_ms) for mono_ms in (1_300, 1_300, 1_200, 1_500)] == [300, 0, 0, 200]


def test_lease_time_stands_still_until_jobs_is_read_as_far_as_was_asked() -> None:
    clock = begun(1_000)
    clock.asked(1_400)
    assert [clock.take_elapsed_ms(mono_ms) for mono_ms in (2_000, 3_000)] == [400, 0]


def test_the_time_since_asking_never_counts() -> None:
    clock = begun(1_000)
    clock.asked(1_400)
    assert clock.take_elapsed_ms(5_000) == 400
    clock.caught_up(5_000)
    assert clock.take_elapsed_ms(5_100) == 100


def test_without_an_answer_lease_time_goes_on_as_if_nothing_had_been_asked() -> None:
    clock = begun(1_000)
    clock.asked(1_400)
    clock.released()
    assert clock.take_elapsed_ms(2_000) == 1_000


def test_an_outage_of_ours_adds_little() -> None:
    clock = begun(0)
    assert clock.take_elapsed_ms(3_600_000) == ELAPSED_MAX_MS


def test_time_is_the_brokers_and_never_goes_back() -> None:
    clock = begun(0)
    assert clock.now_ms(5_000, 7_000, ()) == 7_000, "that of the last batch, before anything was appended"
    clock.appended(20_000, 5_000)
    assert clock.now_ms(5_300, 7_000, ()) == 20_300
    assert clock.now_ms(4_000, 7_000, ()) == 20_000, "a monotonic reading from before the ack"
    assert clock.now_ms(5_300, 30_000, ()) == 30_000


def test_an_input_moves_time_forward_but_none_from_far_ahead() -> None:
    clock = begun(0)
    clock.appended(20_000, 0)
    assert clock.now_ms(0, 0, (at(20_007), at(3))) == 20_007
    far = 20_000 + INPUT_AHEAD_MAX_MS + 1
    assert clock.now_ms(0, 0, (at(far), at(20_007))) == 20_007
