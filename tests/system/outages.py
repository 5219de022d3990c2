"""Outages that last, under load: `python -m tests.system.outages --postgres 10m --store 10m --kafka 10m`.

For each server named: a stack of its own takes jobs over HTTP and over Kafka, the server stands still for that long
(SIGSTOP: it keeps every connection and answers nobody) or takes no writes (`--read-only`), and goes on. Prints every
30 s what each process has in memory. Requires that no process ended, that no attempt failed, that no answer was a 500,
that whatever was acknowledged ends once, that memory stayed flat, and that all is current within 10 s of the end.
"""

from __future__ import annotations

import argparse
import collections
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from contract.codec import decode_batch
from contract.durations import UNITS_MS
from contract.topics import LEDGER
from local import stack
from runtime.kafka import offsets, read_range
from tests.system.installation import POLICY, Installation, installation, wait_ended
from tests.system.senders import Feeder
from tests.waiting import until

MIB = 1024 * 1024
PER_S = 5.0
"""Jobs over HTTP. Over Kafka a fifth of that."""
WARM_S, WARM_SHARE = 20.0, 0.25
"""Memory may grow for so long, or this share of the outage if that is longer: buffers fill, and then are full."""
GROWTH_MIB_MAX = 48.0
"""What a process may have more at the end of an outage than when it was warm."""
CURRENT_WITHIN_S = 10.0
OUTAGES = ("postgres", "read-only", "store", "kafka")
PARTS = ("scheduler", "api", "projector", "intake", "relay", "node-1")
POLICY_CHANGES = {"node_lease: 4s": "node_lease: 30s", "words_kept: 30s": "words_kept: 2h"}


class OutageFindings(NamedTuple):
    """What became of one outage."""

    server: str
    lasted_s: float
    answers: Mapping[int, int]
    """How many answers to submissions had which status. 0: none came."""
    slowest_answer_s: float
    silence_s: float
    """The longest time without a record in the ledger."""
    acknowledged: int
    states: Mapping[str, int]
    """How the acknowledged jobs ended."""
    failures: int
    """Attempts that failed, by the ledger."""
    ended_parts: Mapping[str, int]
    """Parts that ended and were started again, and how often."""
    growth_mib: Mapping[str, float]
    """By part: what it had more at the end of the outage than when it was warm."""
    current_after_s: float

    def require_clean(self) -> None:
        """AssertionError says what does not hold."""
        assert 500 not in self.answers, f"expected no answer 500, found {dict(self.answers)}"
        assert set(self.states) == {"succeeded"}, f"expected every job to succeed, found {dict(self.states)}"
        assert self.failures == 0, f"expected no attempt to fail, found {self.failures}"
        assert not self.ended_parts, f"expected every process to live on, found restarts: {dict(self.ended_parts)}"
        grown = {part: mib for part, mib in self.growth_mib.items() if mib > GROWTH_MIB_MAX}
        assert not grown, f"expected memory to stay flat, found MiB more: {grown}"
        assert self.current_after_s <= CURRENT_WITHIN_S, (
            f"expected all current soon, found {self.current_after_s:.1f} s"
        )


class Load(threading.Thread):
    """Submits at a pace, whatever is answered. What got no 202 is sent again with its key when the outage is over."""

    def __init__(self, here: Installation) -> None:
        super().__init__(daemon=True)
        self._url = stack.settings(here.data).api_url
        self._headers = {"Authorization": f"Bearer {stack.keys(here.data).api_key}"}
        self._feeder = Feeder(here)
        self._over = threading.Event()
        self.answers: collections.Counter[int] = collections.Counter()
        self.slowest_s = 0.0
        self.acked: list[str] = []
        self.unacked: list[str] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self._url, headers=self._headers, timeout=60, trust_env=False) as client:
                number = 0
                while not self._over.wait(1 / PER_S):
                    key, number = uuid.uuid4().hex, number + 1
                    if not self._submit(client, key):
                        self.unacked.append(key)
                    if number % 5 == 0:
                        self._by_kafka()
                for key in self.unacked:
                    until(partial(self._submit, client, key), "what got no 202 is taken now", 60)
        except BaseException as failure:
            self.failure = failure

    def finish(self) -> None:
        """Every submission is acknowledged when this returns."""
        self._over.set()
        self.join()
        self._feeder.close()
        if self.failure is not None:
            raise self.failure

    def _submit(self, client: httpx.Client, key: str) -> bool:
        body = {"model": "noop", "tier": "api", "inputs": {"sleep_ms": 100, "output_bytes": 1_000}}
        begun_s = time.monotonic()
        try:
            answer = client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
        except httpx.HTTPError:
            self.answers[0] += 1
            return False
        finally:
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun_s)
        self.answers[answer.status_code] += 1
        if answer.status_code not in (200, 202):
            assert answer.headers["Content-Type"] == "application/problem+json", answer.text
            assert "Retry-After" in answer.headers
            return False
        self.acked.append(answer.json()["job"])
        return True

    def _by_kafka(self) -> None:
        try:
            self.acked.append(self._feeder.job("demo"))
        except Exception:  # the broker is away: this producer has no acknowledgement, and no claim
            self.answers[0] += 1


class Memory:
    """What each part has in memory, as time goes on."""

    def __init__(self, here: Installation) -> None:
        self._here = here
        self._begun_s = time.monotonic()
        self.samples: list[tuple[float, dict[str, float]]] = []
        print("     s " + "".join(f"{part:>12}" for part in PARTS) + "  (MiB)", flush=True)

    def sample(self, note: str = "") -> None:
        pids = {part: self._here.pid(part) for part in PARTS}
        found = {part: psutil.Process(pid).memory_info().rss / MIB for part, pid in pids.items() if pid}
        at_s = time.monotonic() - self._begun_s
        self.samples.append((at_s, found))
        print(f"{at_s:6.0f} " + "".join(f"{found.get(part, 0):12.1f}" for part in PARTS) + f"  {note}", flush=True)

    def growth_mib(self, warm_s: float) -> dict[str, float]:
        """From the first sample after `warm_s` to the last one."""
        warm = next(found for at_s, found in self.samples if at_s >= warm_s)
        last = self.samples[-1][1]
        return {part: round(last[part] - warm[part], 1) for part in PARTS if part in warm and part in last}


def run(data: Path, server: str, lasts_s: float, every_s: float = 30.0) -> OutageFindings:
    """One outage of one server."""
    policy = data / "policy.yaml"
    words = POLICY.read_text()
    for short, long in POLICY_CHANGES.items():
        assert short in words
        words = words.replace(short, long)
    policy.write_text(words)
    with installation(data / "stack", policy=policy, nodes=1, slots=2) as here:
        here.publish_noop()
        load = Load(here)
        load.start()
        until(lambda: len(load.acked) > 10, "jobs are taken", 60)
        memory = Memory(here)
        restarts = _restarts(here)
        with _outage(here, server):
            end_s = time.monotonic() + lasts_s
            memory.sample(f"{server} is away")
            while time.monotonic() < end_s:
                time.sleep(max(0.0, min(every_s, end_s - time.monotonic())))
                memory.sample()
        current_s = _current_after_s(here)
        memory.sample("all is current again")
        load.finish()
        with here.api() as client:
            ended = wait_ended(client, load.acked, 60 + lasts_s)
        assert [verdict["findings"] for verdict in here.json("audit", "verify")] == [[]]
        silence_s, failures = _of_ledger(here)
        after = _restarts(here)
        return OutageFindings(
            server,
            lasts_s,
            load.answers,
            load.slowest_s,
            silence_s,
            len(load.acked),
            collections.Counter(job["state"] for job in ended.values()),
            failures,
            {part: after[part] - restarts[part] for part in after if after[part] != restarts[part]},
            memory.growth_mib(max(WARM_S, WARM_SHARE * lasts_s)),
            current_s,
        )


@contextmanager
def _outage(here: Installation, server: str) -> Iterator[None]:
    if server == "read-only":
        _set_read_only(here, True)
        try:
            yield
        finally:
            _set_read_only(here, False)
        return
    process = psutil.Process(here.pid({"store": "s3"}.get(server, server)))
    stopped = [process, *process.children(recursive=True)]
    for one in stopped:
        one.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for one in stopped:
            one.send_signal(signal.SIGCONT)


def _set_read_only(here: Installation, whether: bool) -> None:
    engine = create_engine(stack.settings(here.data).database_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        change = "SET default_transaction_read_only = on" if whether else "RESET default_transaction_read_only"
        connection.execute(text(f"ALTER SYSTEM {change}"))
        connection.execute(text("SELECT pg_reload_conf()"))


def _current_after_s(here: Installation) -> float:
    """How long after the end until a job that is submitted now has succeeded, and all parts say that they do their
    work."""
    begun_s = time.monotonic()
    with here.api() as client:
        job = until(lambda: _submitted(client), "a job is taken", 120)
        wait_ended(client, [job], 120)
    url = stack.settings(here.data).api_url
    until(lambda: httpx.get(f"{url}/readyz", timeout=10, trust_env=False).status_code == 200, "all is ready", 120)
    return time.monotonic() - begun_s


def _submitted(client: Any) -> str:
    try:
        return str(client.post("/v1/jobs", {"model": "noop", "tier": "unlimited", "inputs": {}})["job"])
    except Exception:  # not yet: the caller tries again
        return ""


def _restarts(here: Installation) -> dict[str, int]:
    return {part.name: part.restarts for part in stack.status(here.data).parts}


def _of_ledger(here: Installation) -> tuple[float, int]:
    """The longest time between two records, in seconds, and how many attempts failed."""
    kafka = stack.settings(here.data).kafka
    silence_ms, before_ms, failures = 0, 0, 0
    for record in read_range(kafka, LEDGER, 0, *offsets(kafka, LEDGER, 0)):
        if before_ms:
            silence_ms = max(silence_ms, record.timestamp_ms - before_ms)
        before_ms = record.timestamp_ms
        failures += sum(type(event).__name__ == "AttemptFailed" for event in decode_batch(record.value).events)
    return silence_ms / 1000, failures


def _seconds(words: str) -> float:
    number, unit = words[:-1], words[-1]
    return float(number) * UNITS_MS[unit] / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for server in OUTAGES:
        parser.add_argument(f"--{server}", type=_seconds, metavar="TIME", help="how long it is away, as 90s or 10m")
    parser.add_argument("--every", type=_seconds, default=30.0, metavar="TIME", help="between two samples of memory")
    given = vars(parser.parse_args())
    wanted: dict[str, float] = {name: given[name.replace("-", "_")] for name in OUTAGES}
    found: list[OutageFindings] = []
    for server, lasts_s in wanted.items():
        if lasts_s:
            print(f"{server} is away for {lasts_s:g} s", flush=True)
            with tempfile.TemporaryDirectory(prefix="headrace-outage-") as folder:
                found.append(run(Path(folder), server, lasts_s, given["every"]))
            print(msgspec.json.format(msgspec.json.encode(found[-1]._asdict())).decode(), flush=True)
    if not found:
        parser.error(f"expected at least one of {', '.join('--' + server for server in OUTAGES)}")
    for one in found:
        one.require_clean()
    print("clean")


if __name__ == "__main__":
    main()
