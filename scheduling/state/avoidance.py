"""Jobs avoid the nodes on which they failed, as long as another node could run them. Part of `evolve`.

A job waits for the other node, even a busy one: a broken node is often the only free one, because whatever comes there
fails at once (case C5). So a job stands aside, out of its line, while each node with room for it is one that it avoids;
the jobs behind it go there meanwhile. Only few jobs avoid a node, and only a class with few nodes that have room is
looked at, so lining up is cheap.

Which jobs stand aside is looked up by `decide` before each pick and by nobody else. A judgement comes out the same
whether jobs stand in line or aside, because readers that only fold do not line up. Jobs of several ranks do not stand
aside: `picking.gangs` looks for other nodes itself.

Seams: `must_stand_aside`, `banned`.
"""

from __future__ import annotations

from scheduling.state import backpressure, lines
from scheduling.state.jobs import Job
from scheduling.state.nodes import Group
from scheduling.state.pool import RequirementClass, State

AVOIDED_MAX = 4
"""Nodes that a job avoids (design section 4)."""


def banned(state: State, job: Job, group: Group) -> int:
    """The nodes of the group that the job avoids, as a mask."""
    mask = 0
    for avoided in job.avoid:
        load = state.node_attempts.get(avoided.node)
        if load is not None and load.group is group:
            mask |= load.bit
    return mask


def is_in_force(state: State, job: Job) -> bool:
    """The job avoids nodes, and some other node could run it sooner or later. A node that holds off for now could."""
    if not job.avoid:
        return False
    groups = lines.line_of(state, job.version, job.tier).requirement_class.groups
    return any(
        group.able & ~banned(state, job, group)
        for group in groups
        if group.cluster.limit and not group.cluster.draining
    )


def must_stand_aside(state: State, job: Job) -> bool:
    """There is room for the job's class, and none on a node that the job does not avoid."""
    groups = lines.line_of(state, job.version, job.tier).requirement_class.groups
    rooms = [(group, mask) for group in groups if (mask := backpressure.room(group))]
    if not rooms or any(mask & ~banned(state, job, group) for group, mask in rooms):
        return False
    return is_in_force(state, job)


def line_up(state: State) -> None:
    """Each job that waits stands in its line or aside, as it must now. There is nothing to do while no job that waits
    avoids a node."""
    for job_id in list(state.aside):
        if not must_stand_aside(state, state.jobs[job_id]):
            lines.come_back(state, state.jobs[job_id])
    for requirement_class in state.classes.values():
        if requirement_class.waiting and requirement_class.requirements.ranks == 1:
            _line_up(state, requirement_class)


def _line_up(state: State, requirement_class: RequirementClass) -> None:
    """A job that must stand aside avoids every node with room, so it avoids the first of them, and there are few."""
    first, nodes = "", 0
    for group in requirement_class.groups:
        mask = backpressure.room(group)
        if mask:
            first = first or group.ids[(mask & -mask).bit_length() - 1]
            nodes += mask.bit_count()
            if nodes > AVOIDED_MAX:
                return
    for job_id in list(state.avoiders.get(first, ())):
        job = state.jobs[job_id]
        is_in_line = job_id not in state.aside and lines.class_of_job(state, job) is requirement_class
        if is_in_line and must_stand_aside(state, job):
            lines.stand_aside(state, job)
