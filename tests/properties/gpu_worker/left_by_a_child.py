"""What a child may leave in its folders: files that may be kept, traps, and where they stand."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from tests.properties.weighted import weighted

OUTPUT_BYTES_MAX, WHOLE_BYTES_MAX = 512 * 1024, 64 * 1024
"""Limits of one attempt's files in these tests."""


def regular(path: str) -> None:
    Path(path).write_bytes(b"words")


def empty(path: str) -> None:
    Path(path).touch()


def large(path: str) -> None:
    Path(path).write_bytes(b"large" * (WHOLE_BYTES_MAX // 4))


def unreadable(path: str) -> None:
    regular(path)
    os.chmod(path, 0)  # noqa: PTH101


def sparse(path: str) -> None:
    Path(path).touch()
    os.truncate(path, 2**40)


def directory(path: str) -> None:
    Path(path).mkdir()
    regular(f"{path}/inner")
    regular(f"{path}/odd\udcff\n")
    regular(f"{path}/{'n' * 255}")


def shut(path: str) -> None:
    directory(path)
    os.chmod(path, 0)  # noqa: PTH101


def deep(path: str) -> None:
    Path(path).mkdir()
    fd = os.open(path, os.O_RDONLY)
    for _ in range(150):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)


def pipe(path: str) -> None:
    os.mkfifo(path)


def door(path: str) -> None:
    folder, _, name = path.rpartition("/")
    fd = os.open(folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"/proc/self/fd/{fd}/{name}")
    os.close(fd)


def device(path: str) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero; for root only


def link_to(target: str) -> Callable[[str], None]:
    return lambda path: Path(path).symlink_to(target)


def link_to_itself(path: str) -> None:
    Path(path).symlink_to(path)


def nothing(path: str) -> None:
    pass


FILES = {"regular": regular, "empty": empty, "large": large}
"""Files that may be kept."""

TRAPS = {
    "nothing": nothing,
    "unreadable": unreadable,
    "sparse": sparse,
    "directory": directory,
    "shut": shut,
    "deep": deep,
    "pipe": pipe,
    "door": door,
    "device": device,
    "link to a file": link_to("/etc/passwd"),
    "link to a folder": link_to("/etc"),
    "link to nothing": link_to("/nowhere"),
    "link to zeros": link_to("/dev/zero"),
    "link up": link_to(".."),
    "link to another's outputs": link_to("../../../others/outputs"),
    "link to another's attempt": link_to("../../others"),
    "link to itself": link_to_itself,
}
KINDS = FILES | TRAPS

NAMES = ("a", "b.mp4", "log.txt")
PLACES = {
    "beside outputs": "{slot}/log.txt",
    "there too": "{slot}/log.1.txt",
    "among outputs": "{outputs}/undeclared",
    "at home": "{home}/cache",
    "for a while": "{temporary}/file",
    "its home": "{home}",
    "its temporary files": "{temporary}",
}
"""Places beside its outputs where a child may leave something; what stands there is replaced."""

ITSELF = {"outputs": "{outputs}", "slot": "{slot}"}

outputs = st.dictionaries(
    st.sampled_from(NAMES),
    weighted((4, st.sampled_from(sorted(FILES))), (1, st.sampled_from(sorted(KINDS)))),
    max_size=3,
)
extras = st.dictionaries(st.sampled_from(sorted(PLACES)), st.sampled_from(sorted(KINDS)), max_size=3)
replaced = weighted((6, st.none()), (1, st.tuples(st.sampled_from(sorted(ITSELF)), st.sampled_from(sorted(TRAPS)))))
