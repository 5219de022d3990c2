"""Whose job goes: fair between the tenants of a tier. Part of `evolve`, and of a pick.

The discipline says which line is served. This file says which tenant's job of that line goes, by start-time fair
queueing (Goyal, Vin and Cheng, 1996). A tenant has a tag in each tier: the virtual time at which its next pick starts.
The least tag goes first; between equal tags, the tenant whose job is oldest. Virtual time is the start tag of the last
pick. A tag behind virtual time counts as that time, so a tenant saves nothing up while none of its jobs wait. A
tenant's first job therefore waits for at most one pick of every other tenant, however many jobs those have queued. A
pick costs PICK / weight, and more while the tenant has a burst waiting; a retry is free. Tags move only when a first
attempt is dispatched.

Seam: `cost`.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace

from contract.policy import Policy
from scheduling.state.jobs import Job
from scheduling.state.pool import Entry, Line, Share, State, TenantQueue, TierShares

PICK = 720_720
"""What a pick costs at weight 1. Divisible by 1 to 16, so that small weights give whole costs."""
LEFTOVERS_MAX = 64
"""A heap is built anew when it holds more leftovers than tenants and this."""


def tier_shares(state: State, tier: str) -> TierShares:
    """The tier's record; made when first asked for."""
    shares = state.shares.get(tier)
    if shares is None:
        shares = state.shares[tier] = TierShares()
    return shares


def share_of(shares: TierShares, tenant: str) -> Share:
    """Where the tenant stands in the tier; made when it stands nowhere."""
    share = shares.tenants.get(tenant)
    if share is None:
        share = shares.tenants[tenant] = Share()
    return share


def queue_of(line: Line, tenant: str) -> TenantQueue:
    """The tenant's queue in the line; made when the tenant has none there."""
    queue = line.tenants.get(tenant)
    if queue is None:
        queue = line.tenants[tenant] = TenantQueue(share_of(line.shares, tenant))
        if len(line.tenants) == 2:  # until now one tenant had the line alone
            line.level.clear()
            line.ahead.clear()
            other, first = next(iter(line.tenants.items()))
            offer(line, other, first)
    return queue


def offer(line: Line, tenant: str, queue: TenantQueue) -> None:
    """The tenant's queue in the line has a new head."""
    if len(line.tenants) == 1:
        return
    key, job = queue.entries[queue.start]
    if queue.share.tag > line.shares.virtual:
        heappush(line.ahead, (queue.share.tag, key, job, tenant))
    else:
        heappush(line.level, (key, job, tenant))
    if len(line.level) + len(line.ahead) > 2 * len(line.tenants) + LEFTOVERS_MAX:
        rebuild(line)


def rebuild(line: Line) -> None:
    """Make the heaps of the line anew from the heads of its tenants."""
    heads = [(name, queue, queue.entries[queue.start]) for name, queue in line.tenants.items()]
    virtual = line.shares.virtual
    line.level = [(*entry, name) for name, queue, entry in heads if queue.share.tag <= virtual]
    line.ahead = [(queue.share.tag, *entry, name) for name, queue, entry in heads if queue.share.tag > virtual]
    heapify(line.level)
    heapify(line.ahead)


def cost(policy: Policy, tenant: str, waiting: int) -> int:
    """What a pick costs a tenant. `waiting`: its jobs that wait in the tier, with the one picked."""
    picks = 1 + policy.tenant_burst_penalty if waiting > policy.tenant_burst else 1
    return max(1, picks * PICK // policy.tenant_weights.get(tenant, 1))


def charge(state: State, policy: Policy, job: Job) -> None:
    """A waiting job is dispatched for the first time: its tenant pays, and virtual time goes on."""
    charge_in(state.shares[job.tier], policy, job)


def charge_in(shares: TierShares, policy: Policy, job: Job) -> None:
    """A job of these shares is picked for the first time."""
    share = shares.tenants[job.tenant]
    start = max(share.tag, shares.virtual)
    share.tag = start + cost(policy, job.tenant, share.waiting)
    if start > shares.virtual:
        shares.virtual = start
        idle = shares.idle
        while idle and idle[0][0] <= start:
            forget(shares, heappop(idle)[1])


def forget(shares: TierShares, tenant: str) -> None:
    """The tenant has no waiting job in the tier: once virtual time has reached its tag, the tenant is forgotten."""
    share = shares.tenants.get(tenant)
    if share is None or share.waiting:
        return
    if share.tag <= shares.virtual:
        del shares.tenants[tenant]
    else:
        heappush(shares.idle, (share.tag, tenant))
        if len(shares.idle) > 2 * len(shares.tenants) + LEFTOVERS_MAX:
            shares.idle = [(share.tag, name) for name, share in shares.tenants.items() if not share.waiting]
            heapify(shares.idle)


def turn(line: Line) -> Entry:
    """The job that goes when this line is served. ValueError when the line is empty."""
    if len(line.tenants) == 1:
        (queue,) = line.tenants.values()
        return queue.entries[queue.start]
    top = _top(line)
    if top is None:
        raise ValueError(f"expected a job in the line of tier {line.tier}, found none")
    return top[1], top[2]


def turn_after(line: Line) -> Entry | None:
    """The job that would go if the job whose turn it is were not there."""
    if len(line.tenants) == 1:
        return line.entries[line.start + 1] if len(line) > 1 else None
    first = _top(line)
    if first is None:
        return None
    while (other := _top(line)) is not None and other[3] == first[3]:
        if line.level:
            heappop(line.level)
        else:
            heappop(line.ahead)
    queue = line.tenants[first[3]]
    offer(line, first[3], queue)
    second = queue.entries[queue.start + 1] if len(queue) > 1 else None
    if second is None or (other is not None and other[:3] < (first[0], *second)):
        return None if other is None else (other[1], other[2])
    return second


def _top(line: Line) -> tuple[int, int, str, str] | None:
    """(start tag, key, job, tenant) of the head whose turn it is. Drops entries that are out of date, and moves entries
    whose tag has been reached."""
    virtual, level, ahead, tenants = line.shares.virtual, line.level, line.ahead, line.tenants
    while ahead and ahead[0][0] <= virtual:
        _, key, job, tenant = heappop(ahead)
        heappush(level, (key, job, tenant))
    while level:
        key, job, tenant = level[0]
        queue = tenants.get(tenant)
        if queue is not None and queue.entries[queue.start] == (key, job):
            if queue.share.tag <= virtual:
                return virtual, key, job, tenant
            heappush(ahead, (queue.share.tag, key, job, tenant))
        heappop(level)
    while ahead:
        tag, key, job, tenant = ahead[0]
        queue = tenants.get(tenant)
        if queue is None or queue.entries[queue.start] != (key, job):
            heappop(ahead)
        elif queue.share.tag != tag:
            heapreplace(ahead, (queue.share.tag, key, job, tenant))
        else:
            return tag, key, job, tenant
    return None
