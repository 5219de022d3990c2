"""The largest and the least numbers that are legal, as people say them: they change nothing but what they say.

In some worlds the machines and the broker say such numbers too (`World.is_extreme`): the broker's clock is in the last
hours that a date can name, and one node has as much of everything as a node can have.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from contract import inputs, policy_check
from contract.bounds import NUMBER_MAX, TIME_MS_MAX
from contract.policy import UNLIMITED, Cluster, Policy, Tier
from tests.simulation.operators import LAST_MOVED, POLICY, Operators, digest
from tests.simulation.submitters import deliver, submission, submitted

Part = TypeVar("Part", Policy, Tier, Cluster)
CLOCK_MS = TIME_MS_MAX - 3 * 3_600_000
"""Where the broker's clock begins in an extreme world, which lives for less than three hours."""
VAST = digest("vast 1")
ENDLESS = digest("endless 1")
"""A gang of more ranks than there are slots anywhere: it waits until somebody cancels it."""
LEAVE = ("partition", "dispatch_partitions", "submission_partitions", "payload_bytes_max", "words_kept_ms")
"""What no decision reads."""
MOST_ONLY = ("submission_age_max_ms",)
"""A copy is older than 1 ms when it is read: intake could keep no promise."""


class Extremes:
    def __init__(self, operators: Operators, *, is_extreme: bool) -> None:
        self._operators, self._is_extreme = operators, is_extreme
        self._chance = operators.timeline.chance
        self.policies = 0

    def publish(self) -> None:
        needs = inputs.Requirements(("cuda",), NUMBER_MAX, NUMBER_MAX)
        gang = inputs.Requirements(("cpu",), NUMBER_MAX, 0, ranks=NUMBER_MAX)
        self._operators.say(inputs.VersionPublished("vast", VAST, needs, NUMBER_MAX))
        self._operators.say(inputs.VersionPublished("endless", ENDLESS, gang, NUMBER_MAX))

    def say(self) -> None:
        acts = [self._deadlines, self._submit_times, self._endless, self._move, self._drain, self._policy]
        if self._is_extreme:
            acts += [self._vast, self._vast]
        self._chance.choice(acts)()

    # -- jobs -------------------------------------------------------------------------------------------------

    def _submit(self, **changes: object) -> None:
        operators = self._operators
        asked = submission(len(operators.jobs), "acme", "free", "film", "api", 0, 0)
        operators.jobs.append((asked.job, "acme"))
        operators.api.post(msgspec.structs.replace(asked, **changes))

    def _deadlines(self) -> None:
        for name in ("expires_ms", "expires_in_ms"):
            self._submit(**{name: NUMBER_MAX})
        self._submit(expires_ms=-NUMBER_MAX)

    def _submit_times(self) -> None:
        """An intake whose clock is mad: nobody waits from the future on, and what is too old does not run."""
        for submitted_ms in (NUMBER_MAX, -NUMBER_MAX):
            asked = submission(len(self._operators.jobs), "acme", "free", "film", "kafka", 0, 0)
            self._operators.jobs.append((asked.job, "acme"))
            record = submitted(msgspec.structs.replace(asked, submitted_ms=submitted_ms))
            deliver(self._operators.broker, record, key=asked.job)

    def _vast(self) -> None:
        self._submit(model=f"vast@{VAST}")

    def _endless(self) -> None:
        self._submit(model=f"endless@{ENDLESS}")

    # -- what operators say -----------------------------------------------------------------------------------

    def _move(self) -> None:
        for move in (-NUMBER_MAX, NUMBER_MAX, NUMBER_MAX - 1):
            self._operators.say(inputs.AliasMoved("film", LAST_MOVED, digest("film 2"), move))

    def _drain(self) -> None:
        cluster = self._chance.choice(tuple(POLICY.clusters))
        self._operators.say(inputs.ClusterDrainRequested(cluster, NUMBER_MAX))
        self._operators.timeline.after(10_000, lambda: self._operators.say(inputs.ClusterActivated(cluster)))

    def _policy(self) -> None:
        """Each number of the policy is the least or the most, or as it was."""
        tiers = {name: self._pushed(tier) for name, tier in POLICY.tiers.items()}
        clusters = {name: self._pushed(cluster) for name, cluster in self._operators.base.clusters.items()}
        weights = {tenant: self._chance.choice((1, 1_000)) for tenant in ("acme", "globex")}
        changed = self._pushed(msgspec.structs.replace(POLICY, may_starve=True))
        policy = msgspec.structs.replace(changed, tiers=tiers, clusters=clusters, tenant_weights=weights)
        policy = msgspec.structs.replace(policy, backoff_max_ms=max(policy.backoff_ms, policy.backoff_max_ms))
        if policy_check.fault_of(policy) is None:
            self.policies += 1
        self._operators.apply(policy)

    def _pushed(self, part: Part) -> Part:
        changes: dict[str, int] = {}
        for name in part.__struct_fields__:
            if type(getattr(part, name)) is not int or name in LEAVE or self._chance.random() < 0.4:
                continue
            ends = [policy_check.most_of(name)]
            if name not in MOST_ONLY:
                ends.append(policy_check.least_of(name))
            if policy_check.may_be_unlimited(name):
                ends.append(UNLIMITED)
            changes[name] = self._chance.choice(ends)
        return msgspec.structs.replace(part, **changes)
