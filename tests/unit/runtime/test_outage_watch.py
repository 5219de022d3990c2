"""An outage is two lines, however often something is tried meanwhile, and the rests between tries grow."""

from __future__ import annotations

import structlog

from runtime.outage_watch import OutageWatch


def test_an_outage_is_said_once_at_its_beginning_once_at_its_end_and_when_its_reason_changes() -> None:
    watch = OutageWatch("waiting", "again")
    with structlog.testing.capture_logs() as logged:
        watch.worked()
        for found in ["away"] * 100 + ["read-only"] * 100:
            watch.failed(found, pool="main")
            assert watch.is_away
        watch.worked(pool="main")
        watch.worked()
    assert [(entry["event"], entry.get("found")) for entry in logged] == [
        ("waiting", "away"),
        ("waiting", "read-only"),
        ("again", None),
    ]
    assert all(entry["pool"] == "main" for entry in logged)
    assert not watch.is_away


def test_rests_grow_to_a_bound_and_are_short_again_after_a_success() -> None:
    watch = OutageWatch("waiting", "again", rest_s=1, rest_max_s=5)
    assert [watch.failed("away") for _ in range(5)] == [1, 2, 4, 5, 5]
    watch.worked()
    assert watch.failed("away") == 1
