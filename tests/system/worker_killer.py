"""Kills CPU workers in the midst of preparations, in the phase that the seed draws: kill -9, as the kernel does it."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict

from contract import signers
from contract.codec import decode_progress
from contract.topics import PROGRESS, PROGRESS_PARTITIONS
from cpu_worker.held_preparations import FRACTIONS
from local import stack
from runtime.kafka import Reader, offsets
from tests.system.installation import Installation

PHASES = tuple(word for word, _ in FRACTIONS.values())
LOSSES_MAX = 3
"""Of one job by this killer: the scheduler refuses media over which five workers were lost."""
LATE_S = 0.2
"""How long after the beginning of its phase a worker may live on."""


class WorkerKiller:
    """Works in a thread of its own, from `start` until `stop`."""

    def __init__(self, here: Installation, seed: int, kills_max: int) -> None:
        self.kills: Counter[str] = Counter()
        """By phase."""
        self._here, self._kills_max = here, kills_max
        self._chance = random.Random(seed)
        self._losses: Counter[str] = Counter()
        self._at_work: dict[str, set[str]] = defaultdict(set)
        """Jobs that each worker has begun in its present life, as far as it told."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="worker-killer")

    def start(self) -> None:
        brokers = stack.brokers(self._here.data, signers.API)
        starts = {(PROGRESS, number): offsets(brokers, PROGRESS, number)[1] for number in range(PROGRESS_PARTITIONS)}
        self._reader = Reader(brokers, starts, client_id="headrace-killer")
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._reader.close()

    def _work(self) -> None:
        wanted = self._chance.choice(PHASES)
        while not self._over.is_set() and self.kills.total() < self._kills_max:
            for record in self._reader.read(0.2):
                worker = dict(record.headers)["ce_source"].decode().removeprefix("node/")
                said = decode_progress(record.value)
                if said.message not in PHASES:
                    continue
                self._at_work[worker].add(said.job)
                if said.message == wanted and self._kill(worker, said.job):
                    self.kills[wanted] += 1
                    wanted = self._chance.choice(PHASES)
                    break  # what was read with it is of the past

    def _kill(self, worker: str, job: str) -> bool:
        if max(self._losses[each] for each in self._at_work[worker]) >= LOSSES_MAX:
            return False
        pid = self._here.pid(worker)
        time.sleep(self._chance.uniform(0.0, LATE_S))
        if not pid or self._here.pid(worker) != pid:
            return False
        os.kill(pid, signal.SIGKILL)
        self._losses.update(self._at_work.pop(worker))
        return True
