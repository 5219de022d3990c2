"""What a child sees: of the disk what it was given, of the network nothing, of shared memory its own.

Theory of operation. An empty file system becomes the root. In it stand, at their own paths, the directories that the
child may read and the few it may write; nothing else has a path, so no socket of the agent, no other slot and no data
of the installation can be named. As root the kernel lets us do so; else a namespace of users of our own does.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Any

from_kernel: Any = None
"""The module `kernel`, which `enter.py` puts here."""

SHARED_MEMORY = "/dev/shm"  # noqa: S108 (the machine's own, or one in its place)
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def enter(plan: Any) -> None:
    """`plan`: user_namespace, mounts, network ("own" or "host"), ipc. OSError."""
    k = from_kernel
    flags = k.CLONE_NEWUSER if plan["user_namespace"] else 0
    flags |= k.CLONE_NEWNS if plan["mounts"] else 0
    flags |= k.CLONE_NEWIPC if plan["ipc"] else 0
    flags |= k.CLONE_NEWNET if plan["network"] == "own" else 0
    if not flags:
        return
    os.umask(0o022)  # the child, which may be another user, passes the directories that are made here
    uid, gid = os.geteuid(), os.getegid()
    k.unshare(flags)
    if plan["user_namespace"]:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    if plan["network"] == "own":
        raise_loopback()
    if plan["mounts"]:
        change_root(plan["mounts"])


def raise_loopback() -> None:
    """A model may speak to itself. OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(any_socket, SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))


def change_root(mounts: Any) -> None:
    """`mounts`: root (an empty directory), system, hidden, read, write, devices, links, shared_memory. OSError."""
    k, root = from_kernel, mounts["root"]
    k.mount("none", "/", None, k.MS_REC | k.MS_PRIVATE)
    k.mount("headrace", root, "tmpfs", k.MS_NOSUID | k.MS_NODEV, "mode=755")
    for path in mounts["system"]:
        show(root, path)
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
    if mounts["shared_memory"] == "own":
        k.mount("headrace", root + SHARED_MEMORY, "tmpfs", k.MS_NOSUID | k.MS_NODEV, "mode=1777")
    else:
        k.mount(SHARED_MEMORY, root + SHARED_MEMORY, None, k.MS_BIND)
    for path, target in mounts["links"]:
        if not os.path.lexists(root + path):
            os.makedirs(os.path.dirname(root + path), exist_ok=True)  # noqa: PTH103, PTH120
            os.symlink(target, root + path)  # noqa: PTH211
    os.chdir(root)
    k.pivot_root()
    os.chdir("/")
    k.set_mount("/", k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NOSUID, recursive=False)


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
