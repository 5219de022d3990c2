"""What a child sees: of the disk what it was given, of the network nothing, of shared memory its own.

Theory of operation. An empty file system becomes the root. In it stand, at their own paths, the directories that the
child may read and the few it may write; nothing else has a path, so no socket of the agent, no other slot and no data
of the installation can be named. As root the kernel lets us do so; else a namespace of users of our own does.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Any

from_kernel: Any = None
"""The module `kernel`, which `enter.py` puts here."""

PROC = "/proc"
OF_THE_MACHINE = ("acpi", "bus", "driver", "fs", "irq", "scsi", "sys", "sysrq-trigger")
"""Below /proc: what is no process's. A child is no root, so the kernel lets it change none of it in any case."""
SHARED_MEMORY = "/dev/shm"  # noqa: S108 (the machine's own, or one in its place)
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def enter(plan: Any) -> int:
    """Be in namespaces as the plan says: user_namespace, mounts, network ("own" or "host"), ipc, processes ("own" or
    "host"; they are those of a fork), room. The root is changed later, by `change_root`, which takes what this returns:
    the descriptor of the memory that ranks share, or -1. OSError."""
    k = from_kernel
    shared, memory = shared_kinds(plan), -1
    flags = k.CLONE_NEWNS if plan["mounts"] else 0
    flags |= k.CLONE_NEWPID if plan["processes"] == "own" else 0
    if plan["room"]["enters"] >= 0:
        *spaces, memory = received(plan["room"]["enters"], len(shared) + 1)
        for space in spaces:
            k.enter(space)
            os.close(space)
    else:
        flags |= sum(KINDS[kind](k) for kind in shared)
    if not flags:
        return memory
    uid, gid = os.geteuid(), os.getegid()
    k.unshare(flags)
    if flags & k.CLONE_NEWUSER:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    if flags & k.CLONE_NEWNET:
        raise_loopback()
    return memory


KINDS: dict[str, Any] = {
    "user": lambda k: k.CLONE_NEWUSER,
    "net": lambda k: k.CLONE_NEWNET,
    "ipc": lambda k: k.CLONE_NEWIPC,
}
"""Namespaces that ranks of a gang may share, by their name in /proc. Who is in the first may enter the others."""


def shared_kinds(plan: Any) -> list[str]:
    wanted = {"user": plan["user_namespace"], "net": plan["network"] == "own", "ipc": plan["ipc"]}
    return [kind for kind in KINDS if wanted[kind]]


def received(end: int, count: int) -> list[int]:
    """The descriptors that the first rank hands on. OSError when it died."""
    with socket.socket(fileno=end) as any_socket:
        found = socket.recv_fds(any_socket, 1, count)[1]
    if len(found) != count:
        raise OSError(errno.ECONNABORTED, "the first rank of the gang did not start")
    return found


def hand_on(plan: Any, memory: str) -> None:
    """Have the other ranks enter what is here, the memory that is mounted at that path too. OSError."""
    spaces = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in shared_kinds(plan)]
    for end in plan["room"]["opens"]:
        copy = from_kernel.copy_mount(memory)
        with contextlib.suppress(BrokenPipeError), socket.socket(fileno=end) as any_socket:  # that rank is gone
            socket.send_fds(any_socket, [b"\0"], [*spaces, copy])
        os.close(copy)
    for space in spaces:
        os.close(space)


def raise_loopback() -> None:
    """A model may speak to itself. OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(any_socket, SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))


def change_root(plan: Any, memory: int) -> None:
    """`mounts` of the plan: root (an empty directory), system, hidden, read, write, devices, links. `memory`: what
    `enter` returned. OSError."""
    k, mounts = from_kernel, plan["mounts"]
    root, own_processes = mounts["root"], plan["processes"] == "own"
    os.umask(0o022)  # the child, which may be another user, passes the directories that are made here
    k.mount("none", "/", None, k.MS_REC | k.MS_PRIVATE)
    k.mount("headrace", root, "tmpfs", k.MS_NOSUID | k.MS_NODEV, "mode=755")
    for path in mounts["system"]:
        if path != PROC:
            show(root, path)
    have_proc(root, own=own_processes, is_written=mounts["names_threads"])
    for path in mounts["hidden"]:
        if os.path.isdir(root + path):  # noqa: PTH112
            k.mount("headrace", root + path, "tmpfs", k.MS_NOSUID | k.MS_NODEV, "mode=755")
    for path in mounts["read"]:
        show(root, path)
    for path in mounts["write"]:
        bind(root, path)
    for path in mounts["devices"]:
        bind(root, path)
    os.makedirs(root + SHARED_MEMORY, exist_ok=True)  # noqa: PTH103
    if memory < 0:
        k.mount("headrace", root + SHARED_MEMORY, "tmpfs", k.MS_NOSUID | k.MS_NODEV, "mode=1777")
        hand_on(plan, root + SHARED_MEMORY)
    else:
        k.mount_copy(memory, root + SHARED_MEMORY)
        os.close(memory)
    for path, target in mounts["links"]:
        if not os.path.lexists(root + path):
            os.makedirs(os.path.dirname(root + path), exist_ok=True)  # noqa: PTH103, PTH120
            os.symlink(target, root + path)  # noqa: PTH211
    os.chdir(root)
    k.pivot_root()
    os.chdir("/")
    k.set_mount("/", k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NOSUID, recursive=False)


def have_proc(root: str, *, own: bool, is_written: bool) -> None:
    """Have the processes of this namespace, or all, to be looked at. `is_written`: the child may change there what is
    its own: CUDA gives up when it cannot name its threads (`/proc/self/task/TID/comm`). OSError."""
    k, place = from_kernel, root + PROC
    if own:
        os.mkdir(place)  # noqa: PTH102
        mount_proc(place)
    else:
        bind(root, PROC)
    if not is_written:
        k.set_mount(place, k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NOSUID, recursive=True)
        return
    for name in OF_THE_MACHINE:
        if os.path.exists(f"{place}/{name}"):  # noqa: PTH110
            k.mount(f"{place}/{name}", f"{place}/{name}", None, k.MS_BIND)
            k.set_mount(f"{place}/{name}", k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NOSUID, recursive=False)


def mount_proc(place: str) -> None:
    """Have the processes of this namespace there. OSError."""
    k = from_kernel
    k.mount("proc", place, "proc", k.MS_NOSUID | k.MS_NODEV | k.MS_NOEXEC)


def show(root: str, path: str) -> None:
    """Have what stands at the path, to be read only. OSError."""
    k = from_kernel
    if os.path.islink(path):  # noqa: PTH114
        if not os.path.lexists(root + path):
            os.makedirs(os.path.dirname(root + path), exist_ok=True)  # noqa: PTH103, PTH120
            os.symlink(os.readlink(path), root + path)  # noqa: PTH115, PTH211
        return
    bind(root, path)
    k.set_mount(root + path, k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NOSUID, recursive=True)


def bind(root: str, path: str) -> None:
    """Have what stands at the path. OSError."""
    k, place = from_kernel, root + path
    if os.path.isdir(path):  # noqa: PTH112
        os.makedirs(place, exist_ok=True)  # noqa: PTH103
    elif not os.path.lexists(place):
        os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    k.mount(path, place, None, k.MS_BIND | k.MS_REC)
