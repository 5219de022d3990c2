"""A pool in which media are prepared, at random: for readers of the ledger that must understand all of it."""

from __future__ import annotations

from random import Random

from contract.inputs import (
    AliasMoved,
    ClusterActivated,
    ClusterDrainRequested,
    NodeCordonRequested,
    NodeUncordonRequested,
    VersionPublished,
    WithdrawRequested,
)
from contract.preparation_reports import PreparationDone, PreparationRefused, PreparationStopped
from tests.unit.scheduling.preparing import RULES_A, RULES_B, PreparingPool, preparing_policy
from tests.unit.scheduling.specification import CPU, MANIFEST, version_of

WORKERS = ("w1", "w2", "w3")
TENANTS = ("acme", "beta", "zeta")


class MediaStory:
    """Jobs with and without media of three tenants, and everything that may become of them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        policy = preparing_policy(3, promise_max=1, tenant_weights={"beta": 3}, tenant_burst=4, tenant_burst_penalty=2)
        self.pool = PreparingPool(policy, workers=0)
        self.pool.check = False
        self.pool.publish("shapes")
        self.pool.join("n1", slots=2)
        self.lives = dict.fromkeys(WORKERS, 0)
        self.versions = 1
        self.jobs = 0
        for worker in WORKERS:
            self._join(worker)

    def run(self, steps: int) -> PreparingPool:
        moves = [self._submit] * 10 + [self._say] * 8 + [self._beat] * 6 + [self._work] * 5
        moves += [self._cancel, self._lose, self._withdraw, self._drain, self._cordon]
        for _ in range(steps):
            self.random.choice(moves)()
        return self.pool

    def _join(self, worker: str) -> None:
        self.lives[worker] += 1
        self.pool.join_worker(worker, self.random.randint(1, 2), f"s{self.lives[worker]}")

    def _submit(self) -> None:
        self.jobs += 1
        tenant, tier = self.random.choice(TENANTS), self.random.choice(("free", "api", "light"))
        expires_ms = self.pool.now_ms + 20_000 if self.random.random() < 0.1 else 0
        media = self.random.randint(0, 2)
        self.pool.submit(self.jobs, tier, media, tenant=tenant, expires_ms=expires_ms)

    def _open(self, *, prepares: bool) -> list[str]:
        jobs = self.pool.state.jobs.values()
        return [job.job for job in jobs if job.open is not None and job.open.prepares is prepares]

    def _say(self) -> None:
        for job in self._open(prepares=True)[: self.random.randint(1, 3)]:
            preparation, stop = self.pool.dispatch(job), self.random.choice(("outage", "unclaimed", "killed"))
            done = PreparationDone(job, preparation, MANIFEST, 9, 40, 1, 300)
            refused = PreparationRefused(job, preparation, "too_long")
            self.pool.say(self.random.choice((done, done, done, refused, PreparationStopped(job, preparation, stop))))

    def _beat(self) -> None:
        self.pool.tick(self.random.choice((100, 1_000, 9_000)))
        for node in [node for node in self.pool.state.nodes if node.startswith("w") or node == "n1"]:
            session = self.pool.state.nodes[node].session
            if self.random.random() < 0.8:
                self.pool.beat(node, session)
            else:
                self.pool.beat(node, session, staged=())

    def _work(self) -> None:
        for job in self._open(prepares=False)[:2]:
            session = self.pool.state.nodes["n1"].session
            if not self.pool.attempt(job).started:
                self.pool.start(job, session=session)
            if self.random.random() < 0.3:
                self.pool.fail(job, "inputs_missing", session=session)
            elif self.random.random() < 0.7:
                self.pool.succeed(job, session=session)

    def _cancel(self) -> None:
        if self.pool.state.jobs:
            self.pool.cancel(self.random.choice(sorted(self.pool.state.jobs)))

    def _lose(self) -> None:
        """A worker is killed and comes back, leaves and comes back, or is lost after its lease."""
        worker = self.random.choice(WORKERS)
        if self.random.random() < 0.3:
            others = [node for node in self.pool.state.nodes if node != worker]
            for node in others * 4:
                if node in self.pool.state.nodes:
                    self.pool.beat(node, self.pool.state.nodes[node].session, after_ms=3_000)
        if worker in self.pool.state.nodes and self.random.random() < 0.5:
            self.pool.leave(worker, self.pool.state.nodes[worker].session)
        self._join(worker)

    def _withdraw(self) -> None:
        """The next version, with the same rules or others, and the one before is withdrawn."""
        before, self.versions = self.versions, self.versions + 1
        rules = self.random.choice((RULES_A, RULES_B))
        digest = version_of(f"edit/v{self.versions}")
        published = VersionPublished("edit", digest, CPU, 60_000, prepares=rules)
        moved = AliasMoved("edit", "live", digest, self.versions)
        withdrawn = WithdrawRequested("edit", version_of(f"edit/v{before}"), self.random.random() < 0.5)
        self.pool.tell(published, moved, withdrawn)

    def _drain(self) -> None:
        self.pool.tell(ClusterDrainRequested("cpus", self.pool.now_ms + 500))
        self.pool.tick(1_000)
        self.pool.tell(ClusterActivated("cpus"))

    def _cordon(self) -> None:
        worker = self.random.choice(WORKERS)
        self.pool.tell(NodeCordonRequested(worker))
        self._submit()
        self.pool.tell(NodeUncordonRequested(worker))
