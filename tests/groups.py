"""Which tests share a worker when several workers run them (`make test`): those that share servers, or one stack.

Every worker starts the servers that its tests ask for. Two workers share no server, port, folder or consumer group.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

GROUPS = {
    "a stack": (
        *("tests/system/test_erasure", "tests/system/test_modes", "tests/system/test_quarantine"),
        "tests/system/test_whole_path",
    ),
    "a stack for outsiders": ("tests/system/test_cases",),
    "audit": ("tests/integration/audit",),
    "stacks": ("tests/integration/local/test_stack",),
    "streams: scheduler": ("tests/integration/streams/test_scheduler",),
    "streams: intake": ("tests/integration/streams/test_intake",),
    "servers": ("tests/integration/registry", "tests/integration/views", "tests/integration/runtime"),
    "a stack of two nodes": ("tests/system/test_gangs", "tests/system/test_nodes"),
    "gpu_worker": ("tests/integration/gpu_worker",),
    "clock": ("tests/system/test_clock",),
    "streams": ("tests/integration/streams",),
    "api": ("tests/integration/api",),
    "local": ("tests/integration/local",),
}
"""Groups by the beginnings of their tests' paths; the first group that fits counts. They begin in this order, the
longest first: a long group that begins near the end would run alone."""


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist says nothing of types
    """Gives a worker a whole group."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(path: str) -> str:
    """The group of a test; of a test that no group names, its file."""
    fitting = (group for group, beginnings in GROUPS.items() if path.startswith(beginnings))
    return next(fitting, path.split("::")[0])


def place_of(path: str) -> int:
    """Where the test's group stands in the order; the files that no group names come last."""
    group = group_of(path)
    return _PLACES.get(group, len(_PLACES))


_PLACES = {group: place for place, group in enumerate(GROUPS)}
