"""Which layers hold a child off its agent, and the plan by which `enter.py` applies them.

Theory of operation. What the kernel lets this node have is found out once (`KernelFacts`); from that follow the forms
that a confinement may take, the tightest first. The canary (`canary_flight`) says of a form which layers hold in fact.
All of this is values; only the child's own process, before it becomes the version's interpreter, applies anything.

    form         user of the child         sees of the disk       network    needs
    own user     one that nobody is        what it was given      its own    root, and the right to mount
    namespaces   the agent's, without      what it was given      its own    user namespaces
                 rights outside
    rules        the agent's, without      all; may open what     no TCP     Landlock
                 capabilities              it was given
    limits       the agent's               all                    all        nothing
"""

from __future__ import annotations

import os
import pwd
import sys
import zlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from contract.bounds import SLOTS_MAX
from runtime.worker.cgroups import PROCESSES_MAX
from runtime.worker.room_place import RoomPlace

PROGRAMS = Path(__file__).with_name("layers")
"""What runs in a child's process before the child's own program does: every child can read it."""
ENTER = PROGRAMS / "enter.py"

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/sys", "/nix/store", "/proc")
DEVICES = ("null", "zero", "full", "random", "urandom")
GPU_DEVICES = ("nvidia*", "kfd", "dri", "accel", "dxg", "infiniband")
LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
)

FILE_BYTES_MAX = 64 * 1024**3
"""The largest file that a child can write."""
ADDRESS_SPACE_FACTOR, ADDRESS_SPACE_MIB = 2, 8192
"""Of a slot without GPUs: so many times its memory, and so much more. Threads and allocators reserve much that they
never touch. With a GPU the driver reserves all that the machine has, so there is no limit."""

UIDS = range(61_200, 65_500)
"""User ids that no distribution gives to anybody and that containers with few ids have, above those of Postgres."""


class Form(StrEnum):
    OWN_USER = "own user"
    NAMESPACES = "namespaces"
    RULES = "rules"
    LIMITS = "limits"


class Network(StrEnum):
    """What a child may speak to."""

    OWN = "own"
    """Itself, and the ranks of its gang."""
    HOST = "host"
    """Whatever the node may."""


class Layer(StrEnum):
    """What must hold before models of strangers may run. `doctor` names each."""

    FILES = "files of the agent and of other slots"
    MEMORY = "memory and environment of the agent"
    SOCKETS = "sockets of the agent"
    NETWORK = "network"
    SIGNALS = "signals to the agent"
    PRIVILEGES = "rights and limits of the child"


LAYERS = tuple(Layer)


class KernelFacts(msgspec.Struct, frozen=True):
    """What the kernel lets a child of this process have, as `enter.py probe` found it."""

    uid: int
    namespaces: int
    user_namespace: int
    landlock: int
    """The version of Landlock; 0: none."""
    processes: int = 0
    """Whether a child may have processes of its own, and see no others."""


class ChildPlaces(msgspec.Struct, frozen=True):
    """Directories, absolute. Those that do not exist are left out when the child starts."""

    read: tuple[str, ...]
    """The version's code, weights and environment; our programs."""
    slot: str
    """The only directory that the child may write to: home, temporary files and outputs lie in it."""
    home: str
    temporary: str


class Confinement(msgspec.Struct, frozen=True):
    """How the children of one node are held off."""

    form: Form
    landlock: int
    root: str
    """An empty directory, on which a child's view of the disk is built."""
    hidden: tuple[str, ...]
    """Directories of the installation, of which a child sees nothing that it was not given."""
    uids_from: int = 0
    """The user of slot 0's children, and so on; 0 unless the form is OWN_USER."""
    libraries: tuple[str, ...] = ()
    """Directories of LD_LIBRARY_PATH."""
    own_processes: bool = False
    """Whether a child has a namespace of processes of its own, unless it is a rank of a gang."""

    def uid(self, slot: int) -> int:
        return self.uids_from + slot if self.uids_from else 0

    @property
    def has_rooms(self) -> bool:
        """Whether ranks of a gang can share what nobody else has."""
        return self.form in (Form.OWN_USER, Form.NAMESPACES)

    def plan(
        self,
        slot: int,
        places: ChildPlaces,
        *,
        gpus: bool,
        memory_mib: int = 0,
        network: Network = Network.OWN,
        ranks: int = 1,
        room: RoomPlace | None = None,
    ) -> dict[str, Any]:
        """What `enter.py` is told. `memory_mib`: of the slot; 0: no limit of address space. `ranks`: of the attempt;
        `room`: what the child shares with those on this node."""
        has_root = self.form in (Form.OWN_USER, Form.NAMESPACES)
        has_own_count = has_root  # of processes: the agent's user may have many of its own
        if not has_root and ranks > 1:
            network = Network.HOST  # Landlock cannot tell whose port it is
        sees_ranks = room is not None and gpus  # drivers hand memory from process to process by id
        meets_others = room is not None or (ranks > 1 and not has_root)
        devices = _devices(gpus)
        given = (str(PROGRAMS), *places.read)
        read = tuple(path for path in (*given, *self.libraries) if _is_given(path, self.hidden, given))
        address_space = 0 if gpus or not memory_mib else (memory_mib * ADDRESS_SPACE_FACTOR + ADDRESS_SPACE_MIB) * 2**20
        shared = room or RoomPlace(slot)
        return {
            "parent": os.getpid(),
            "home": places.home,
            "nproc": PROCESSES_MAX if has_own_count else 0,
            "fsize": FILE_BYTES_MAX,
            "address_space": address_space,
            "uid": self.uid(shared.slot),
            "groups": _groups_of(devices) if self.uids_from else [],
            "user_namespace": self.form is Form.NAMESPACES,
            "ipc": has_root,
            "network": network if has_root else Network.HOST,
            "processes": "own" if self.own_processes and not sees_ranks else "host",
            "room": {"opens": shared.opens, "enters": shared.enters},
            "mounts": self._mounts(read, places, devices, gpus) if has_root else None,
            "landlock": self._rules(read, places, devices, network, meets_others, gpus) if self.landlock else None,
        }

    def command(self, plan: Mapping[str, Any]) -> list[str]:
        """What stands before the child's own command."""
        return [sys.executable, "-I", "-S", str(ENTER), msgspec.json.encode(plan).decode()]

    def _mounts(self, read: Sequence[str], places: ChildPlaces, devices: Sequence[str], gpus: bool) -> dict[str, Any]:
        system = [path for path in SYSTEM if os.path.lexists(path)]
        inside = any(path.startswith("/tmp/") for path in (*read, places.slot))  # noqa: S108
        links = [*LINKS, ("/var/tmp", places.temporary)]  # noqa: S108
        links += [] if inside else [("/tmp", places.temporary)]  # noqa: S108
        return {
            "root": self.root,
            "system": system,
            "hidden": [path for path in self.hidden if path.startswith(tuple(f"{root}/" for root in system))],
            "read": sorted(read),
            "write": [places.slot],
            "devices": devices,
            "links": links,
            "names_threads": gpus,
        }

    def _rules(
        self,
        read: Sequence[str],
        places: ChildPlaces,
        devices: Sequence[str],
        network: Network,
        meets_others: bool,
        gpus: bool,
    ) -> dict[str, Any]:
        has_root = self.form is not Form.RULES
        return {
            "abi": self.landlock,
            "read": ["/"] if has_root else [*SYSTEM, *read],
            "devices": [*devices, "/dev/fd", *(["/proc"] if gpus else [])],
            "write": [places.slot, *(["/dev/shm"] if has_root or meets_others else [])],  # noqa: S108
            "network": "open" if has_root or network is Network.HOST else "shut",
            "shares_sockets": meets_others,
        }


def forms(facts: KernelFacts) -> tuple[Form, ...]:
    """The forms that the kernel lets us have, the tightest first."""
    found = []
    if facts.uid == 0 and facts.namespaces:
        found.append(Form.OWN_USER)
    if facts.uid != 0 and facts.user_namespace:
        found.append(Form.NAMESPACES)
    if facts.landlock:
        found.append(Form.RULES)
    return (*found, Form.LIMITS)


def confinement(
    form: Form, facts: KernelFacts, root: Path, hidden: Sequence[Path], inherited: Mapping[str, str]
) -> Confinement:
    libraries = tuple(path for path in inherited.get("LD_LIBRARY_PATH", "").split(":") if path.startswith("/"))
    return Confinement(
        form,
        facts.landlock if form is not Form.LIMITS else 0,
        str(root),
        tuple(str(path.absolute()) for path in hidden),
        first_uid(str(root)) if form is Form.OWN_USER else 0,
        libraries,
        bool(facts.processes) and form in (Form.OWN_USER, Form.NAMESPACES),
    )


def first_uid(root: str) -> int:
    """The first of SLOTS_MAX ids that have no name here. Nodes of one machine most likely have different ones."""
    blocks = len(UIDS) // SLOTS_MAX
    begin = zlib.crc32(root.encode()) % blocks
    named = {entry.pw_uid for entry in pwd.getpwall()}
    for number in range(blocks):
        first = UIDS[(begin + number) % blocks * SLOTS_MAX]
        if named.isdisjoint(range(first, first + SLOTS_MAX)):
            return first
    return UIDS[begin * SLOTS_MAX]


def interpreter_places(python: str) -> list[str]:
    """The directories that an interpreter needs: its environment, and that of the interpreter to which it links."""
    found = []
    path = Path(os.path.abspath(python))  # noqa: PTH100 (links stay: the interpreter looks for itself by its path)
    for _ in range(8):
        found.append(str(path.parent.parent))
        if not path.is_symlink():
            break
        path = Path(os.path.normpath(path.parent / path.readlink()))
    found.append(str(Path(python).resolve().parent.parent))
    return [place for place in dict.fromkeys(found) if place not in ("/", "/usr")]


def _is_given(path: str, hidden: Sequence[str], given: Sequence[str]) -> bool:
    """Whether a directory exists and may be shown: nothing above what is hidden, or within, unless it was named."""
    if not os.path.exists(path):  # noqa: PTH110
        return False
    if any(place == path or place.startswith(f"{path.rstrip('/')}/") for place in hidden):
        return False
    return path in given or not any(path.startswith(f"{place}/") for place in hidden)


def _devices(gpus: bool) -> list[str]:
    found = [f"/dev/{name}" for name in DEVICES]
    if gpus:
        found += [str(path) for pattern in GPU_DEVICES for path in sorted(Path("/dev").glob(pattern))]
    return found


def _groups_of(devices: Sequence[str]) -> list[int]:
    """The groups that the machine lets use its GPUs, as far as a device asks for one."""
    groups = set()
    for device in devices:
        place = Path(device)
        for path in [place, *place.iterdir()] if place.is_dir() else [place]:
            found = path.stat()
            if found.st_gid and not found.st_mode & 0o006:
                groups.add(found.st_gid)
    return sorted(groups)
