"""A node agent on a real broker and object store, with orders sent by hand: what it takes, runs and reports."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec

from contract.codec import decode_progress, decode_result
from contract.inputs import Failed, NodeHeartbeat, NodeLeft, NodeReport, Started, Stopped, Succeeded
from contract.orders import Kill, Recall, Rejoin, Run
from contract.results import EMPTY_MANIFEST, ERROR_NAME, INPUTS_NAME, MANIFEST_NAME, attempt_prefix
from contract.topics import PROGRESS
from local.services import Services
from runtime.kafka import Reader, partitions
from runtime.kafka_reader import StartOffset
from runtime.object_store import ObjectStore
from tests.integration.gpu_worker.by_hand import DEADLINE_S, HandScheduler, NodeProcess, SteadyNode
from tests.waiting import until

BYTES_MAX = 2**26
"""More than any object here has."""

WORDS = "a walrus in a teacup"


def gone(pid: int) -> bool:
    return until(lambda: not Path(f"/proc/{pid}").exists(), f"process {pid} is gone")


def kill(order: Run, **changes: object) -> Kill:
    return msgspec.structs.replace(
        Kill(order.node, order.session, order.pool, order.epoch, order.job, order.dispatch), **changes
    )


def test_a_job_runs_from_order_to_result(scheduler: HandScheduler, steady: SteadyNode, noop: str) -> None:
    order = scheduler.for_steady(steady, noop)
    scheduler.send(order)
    report = scheduler.ended(order.dispatch)
    assert isinstance(report, Succeeded)
    assert (report.manifest, report.bytes) == (EMPTY_MANIFEST, 0)
    assert scheduler.reports(order.dispatch)[0] == Started(order.job, order.dispatch)
    scheduler.heartbeat(steady.session, lambda h: noop in h.cached)
    loaded = scheduler.heartbeat(steady.session, lambda h: h.loaded == (noop,))
    assert loaded.cached_digest, "the list itself goes only when it changed"


def test_an_order_that_comes_twice_runs_once(scheduler: HandScheduler, steady: SteadyNode, noop: str) -> None:
    order = scheduler.for_steady(steady, noop, {"sleep_ms": 200})
    scheduler.send(order)
    scheduler.send(order)
    scheduler.ended(order.dispatch)
    scheduler.send(order)
    after = scheduler.for_steady(steady, noop)
    scheduler.send(after)
    scheduler.ended(after.dispatch)
    assert [type(report) for report in scheduler.reports(order.dispatch)] == [Started, Succeeded]


def test_a_valid_order_replaces_a_zombies_stray_one(scheduler: HandScheduler, steady: SteadyNode, noop: str) -> None:
    stray = scheduler.for_steady(steady, noop, {"sleep_ms": 60_000}, pool="zombie")
    scheduler.send(stray)
    scheduler.started(stray.dispatch)
    valid = scheduler.for_steady(steady, noop, epoch=2, job=stray.job, pool="zombie")
    scheduler.send(valid)
    assert isinstance(scheduler.ended(valid.dispatch), Succeeded)
    assert scheduler.reports(stray.dispatch) == [Started(stray.job, stray.dispatch)]
    late = scheduler.for_steady(steady, noop, epoch=1, pool="zombie")
    last = scheduler.for_steady(steady, noop, epoch=2, pool="zombie")
    scheduler.send(late)
    scheduler.send(last)
    scheduler.ended(last.dispatch)
    assert scheduler.reports(late.dispatch) == []


def test_a_hanging_attempt_is_killed_for_certain(scheduler: HandScheduler, steady: SteadyNode, odd: str) -> None:
    order = scheduler.for_steady(steady, odd, {"how": "deaf"})
    scheduler.send(order)
    scheduler.started(order.dispatch)
    scheduler.heartbeat(steady.session, lambda h: h.loaded == (odd,) and h.running == (order.dispatch,))
    child = steady.child()
    scheduler.send(kill(order))
    assert scheduler.ended(order.dispatch) == Stopped(order.job, order.dispatch, "killed")
    assert gone(child)


def test_a_cancelled_model_that_listens_stays_loaded(scheduler: HandScheduler, steady: SteadyNode, noop: str) -> None:
    order = scheduler.for_steady(steady, noop, {"sleep_ms": 60_000})
    scheduler.send(order)
    scheduler.heartbeat(steady.session, lambda h: h.loaded == (noop,) and h.running == (order.dispatch,))
    child = steady.child()
    scheduler.send(kill(order))
    assert scheduler.ended(order.dispatch) == Stopped(order.job, order.dispatch, "killed")
    assert steady.child() == child


def test_what_the_node_does_not_hold_is_answered_too(scheduler: HandScheduler, steady: SteadyNode, noop: str) -> None:
    order = scheduler.for_steady(steady, noop)
    scheduler.send(kill(order))
    assert scheduler.ended(order.dispatch) == Stopped(order.job, order.dispatch, "killed")
    other = scheduler.for_steady(steady, noop)
    scheduler.send(Recall(other.node, other.session, other.pool, 1, other.job, other.dispatch))
    assert scheduler.ended(other.dispatch) == Stopped(other.job, other.dispatch, "recalled")


def test_a_staged_attempt_is_given_back_when_recalled(scheduler: HandScheduler, steady: SteadyNode, noop: str) -> None:
    running = scheduler.for_steady(steady, noop, {"sleep_ms": 60_000})
    staged = scheduler.for_steady(steady, noop)
    for order in (running, staged):
        scheduler.send(order)
    scheduler.heartbeat(steady.session, lambda h: h.running == (running.dispatch,) and h.staged == (staged.dispatch,))
    for order in (running, staged):
        scheduler.send(Recall(order.node, order.session, order.pool, 1, order.job, order.dispatch))
    assert scheduler.ended(staged.dispatch) == Stopped(staged.job, staged.dispatch, "recalled")
    assert scheduler.reports(running.dispatch) == [Started(running.job, running.dispatch)]
    scheduler.send(kill(running))
    scheduler.ended(running.dispatch)


def test_a_child_that_is_killed_fails_its_attempt_only(scheduler: HandScheduler, steady: SteadyNode, noop: str) -> None:
    order = scheduler.for_steady(steady, noop, {"fail": "hang"})
    scheduler.send(order)
    scheduler.heartbeat(steady.session, lambda h: h.loaded == (noop,) and h.running == (order.dispatch,))
    os.kill(steady.child(), signal.SIGKILL)
    assert scheduler.ended(order.dispatch) == Failed(order.job, order.dispatch, "child_died", "Signal9")
    after = scheduler.for_steady(steady, noop)
    scheduler.send(after)
    assert isinstance(scheduler.ended(after.dispatch), Succeeded)


def test_an_attempt_ends_at_its_time_limit(scheduler: HandScheduler, steady: SteadyNode, noop: str) -> None:
    order = scheduler.for_steady(steady, noop, {"fail": "hang"}, timeout_ms=300)
    scheduler.send(order)
    assert scheduler.ended(order.dispatch) == Failed(order.job, order.dispatch, "time_out", "TimeOut")


def test_each_way_to_fail_has_its_kind(scheduler: HandScheduler, steady: SteadyNode, noop: str) -> None:
    expected = {"raise": ("model_error", "RuntimeError"), "exit": ("child_died", "Exit3")}
    expected |= {"invalid": ("bad_inputs", "InvalidInputs")}
    for how, (kind, error) in expected.items():
        order = scheduler.for_steady(steady, noop, {"fail": how})
        scheduler.send(order)
        assert scheduler.ended(order.dispatch) == Failed(order.job, order.dispatch, kind, error)


def test_a_version_that_is_nowhere_fails_only_its_own_job(
    scheduler: HandScheduler, steady: SteadyNode, noop: str
) -> None:
    nowhere, after = scheduler.for_steady(steady, "sha256:" + "0" * 64), scheduler.for_steady(steady, noop)
    scheduler.send(nowhere)
    scheduler.send(after)
    assert isinstance(scheduler.ended(after.dispatch), Succeeded)
    failed = scheduler.ended(nowhere.dispatch)
    assert isinstance(failed, Failed)
    assert failed.kind == "environment"


def test_a_payload_is_read_by_offset_and_checked(scheduler: HandScheduler, steady: SteadyNode, odd: str) -> None:
    order = scheduler.submitted(scheduler.for_steady(steady, odd, {"how": "file", "prompt": "words"}))
    other = scheduler.submitted(scheduler.for_steady(steady, odd, {"how": "file", "prompt": "other words"}))
    scheduler.send(order)
    assert isinstance(scheduler.ended(order.dispatch), Succeeded)
    wrong = scheduler.for_steady(steady, odd, {"how": "file"}, payload=None, offset=other.offset)
    nothing = scheduler.for_steady(steady, odd, payload=None, offset=10_000_000)
    for lost in (wrong, nothing):
        scheduler.send(lost)
        assert scheduler.ended(lost.dispatch) == Failed(lost.job, lost.dispatch, "payload_missing", "PayloadMissing")


def test_outputs_their_manifest_and_inputs_are_stored(
    servers: Services, scheduler: HandScheduler, steady: SteadyNode, odd: str
) -> None:
    order = scheduler.for_steady(steady, odd, {"how": "file", "prompt": WORDS})
    scheduler.send(order)
    report = scheduler.ended(order.dispatch)
    assert isinstance(report, Succeeded)
    store, prefix = ObjectStore(servers.settings), attempt_prefix(order.job, order.dispatch)
    assert store.list(prefix) == sorted(prefix + name for name in ("words.txt", INPUTS_NAME, MANIFEST_NAME))
    raw = store.get(prefix + MANIFEST_NAME, BYTES_MAX)
    manifest = decode_result(raw)
    assert msgspec.json.decode(manifest.values) == {"words": len(WORDS)}
    assert [(file.name, file.bytes, file.media_type) for file in manifest.files] == [
        ("words.txt", len(WORDS), "text/plain")
    ]
    assert store.get(prefix + "words.txt", BYTES_MAX) == WORDS.encode()
    assert msgspec.json.decode(store.get(prefix + INPUTS_NAME, BYTES_MAX)) == {"how": "file", "prompt": WORDS}
    assert steady.process.scratch_is_empty()


def test_progress_is_told_beside_the_reports(
    servers: Services, scheduler: HandScheduler, steady: SteadyNode, noop: str
) -> None:
    starts: dict[tuple[str, int], StartOffset] = {
        (PROGRESS, partition): "end" for partition in range(partitions(servers.settings.brokers, PROGRESS))
    }
    reader = Reader(servers.settings.brokers, starts, client_id="test")
    order = scheduler.for_steady(steady, noop, {"sleep_ms": 1000})
    scheduler.send(order)
    scheduler.ended(order.dispatch)
    (first, *more) = reader.read(DEADLINE_S)
    reader.close()
    assert first.key == order.job.encode()
    told = decode_progress(first.value)
    assert (told.job, told.dispatch, told.message) == (order.job, order.dispatch, "sleeping")
    assert 0 <= told.fraction <= 1
    assert len(more) <= 4


def test_a_link_and_values_that_break_the_schema_are_no_outputs(
    scheduler: HandScheduler, steady: SteadyNode, odd: str
) -> None:
    for how, error in {"link": "OutputMissing", "bad-values": "ValuesBreakSchema"}.items():
        order = scheduler.for_steady(steady, odd, {"how": how})
        scheduler.send(order)
        assert scheduler.ended(order.dispatch) == Failed(order.job, order.dispatch, "bad_outputs", error)


def test_words_and_credentials_stay_where_they_belong(
    servers: Services, scheduler: HandScheduler, node: NodeProcess, odd: str
) -> None:
    """The prompt is in the store beside the attempt and in no log; the child has no address and no credential."""
    order = scheduler.run(node.start(), odd, {"how": "print", "prompt": WORDS})
    scheduler.send(order)
    assert scheduler.ended(order.dispatch) == Failed(order.job, order.dispatch, "model_error", "RuntimeError")
    store = ObjectStore(servers.settings)
    assert WORDS.encode() in store.get(attempt_prefix(order.job, order.dispatch) + ERROR_NAME, BYTES_MAX)
    looking = scheduler.run(order.session, odd, {"how": "environment"})
    scheduler.send(looking)
    scheduler.ended(looking.dispatch)
    raw = store.get(attempt_prefix(looking.job, looking.dispatch) + MANIFEST_NAME, BYTES_MAX)
    names = msgspec.json.decode(decode_result(raw).values)["names"]
    assert [name for name in names if name.startswith(("HEADRACE", "DATABASE", "AWS"))] == []
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    log = node.log.read_bytes()
    assert b"joining" in log
    assert WORDS.encode() not in log
    assert node.scratch_is_empty()


def test_a_lost_node_joins_again_by_itself(scheduler: HandScheduler, node: NodeProcess, noop: str) -> None:
    old = scheduler.run(node.start(slots=1), noop, {"sleep_ms": 60_000})
    scheduler.send(old)
    scheduler.started(old.dispatch)
    scheduler.send(Rejoin(old.node, old.session, old.pool, 1))
    joined = scheduler.joined(old.node, but=old.session)
    scheduler.send(scheduler.run(old.session, noop))
    new = scheduler.run(joined.session, noop)
    scheduler.send(new)
    assert isinstance(scheduler.ended(new.dispatch), Succeeded)
    assert scheduler.reports(old.dispatch) == [Started(old.job, old.dispatch)]
    after = scheduler.heard[scheduler.heard.index(joined) :]
    said = [w for w in after if isinstance(w, NodeReport | NodeHeartbeat) and w.node == old.node]
    assert {w.session for w in said} == {joined.session}


def test_sigterm_drains(scheduler: HandScheduler, node: NodeProcess, noop: str) -> None:
    running = scheduler.run(node.start(slots=1), noop, {"sleep_ms": 1500})
    staged = scheduler.run(running.session, noop)
    for order in (running, staged):
        scheduler.send(order)
    scheduler.heartbeat(running.session, lambda h: h.staged == (staged.dispatch,) and h.running == (running.dispatch,))
    node.signal(signal.SIGTERM)
    assert scheduler.ended(staged.dispatch) == Stopped(staged.job, staged.dispatch, "drained")
    assert scheduler.heartbeat(running.session, lambda h: h.draining).running == (running.dispatch,)
    late = scheduler.run(running.session, noop)
    scheduler.send(late)
    assert scheduler.ended(late.dispatch) == Stopped(late.job, late.dispatch, "drained")
    assert isinstance(scheduler.ended(running.dispatch), Succeeded)
    assert node.wait() == 0
    scheduler.until(lambda w: w if isinstance(w, NodeLeft) else None)
    said = [
        w for w in scheduler.heard if isinstance(w, NodeReport | NodeHeartbeat | NodeLeft) and w.node == running.node
    ]
    assert said[-1] == NodeLeft(running.node, running.session)


def test_a_drain_ends_at_its_grace_and_at_once_when_asked_twice(
    scheduler: HandScheduler, node: NodeProcess, noop: str
) -> None:
    first = scheduler.run(node.start("--drain-grace-s", "0.5"), noop, {"fail": "hang"})
    scheduler.send(first)
    scheduler.started(first.dispatch)
    node.signal(signal.SIGTERM)
    assert scheduler.ended(first.dispatch) == Stopped(first.job, first.dispatch, "drained")
    assert node.wait() == 0
    second = scheduler.run(node.start("--drain-grace-s", "600", name="node-2"), noop, {"fail": "hang"}, node="node-2")
    scheduler.send(second)
    scheduler.started(second.dispatch)
    node.signal(signal.SIGTERM)
    scheduler.heartbeat(second.session, lambda h: h.draining)
    node.signal(signal.SIGTERM)
    assert scheduler.ended(second.dispatch) == Stopped(second.job, second.dispatch, "drained")
    assert node.wait() == 0


def test_no_child_outlives_the_agent(scheduler: HandScheduler, node: NodeProcess, odd: str) -> None:
    order = scheduler.run(node.start(slots=1), odd, {"how": "deaf"})
    scheduler.send(order)
    scheduler.heartbeat(order.session, lambda h: h.loaded == (odd,))
    (child,) = node.children()
    node.end()
    assert gone(child)


def test_two_agents_cannot_share_a_scratch_directory(scheduler: HandScheduler, node: NodeProcess) -> None:
    node.start()
    second = NodeProcess(node.settings, node.cluster, scheduler, node.log.parent)
    second.launch(slots=1, name="node-2")
    assert second.wait(DEADLINE_S) == 2
    assert b"found another node agent in it" in node.log.read_bytes()
