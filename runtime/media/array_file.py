"""Prepared media as arrays: a .npy file (version 1.0) that is written as the values come, its header last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

HEADER_BYTES = 128
MAGIC = b"\x93NUMPY\x01\x00"
PIXELS, SAMPLES = "|u1", "<f4"


def write_header(file: BinaryIO, values: str, shape: Sequence[int]) -> None:
    """At the beginning of the file: what its HEADER_BYTES and the values after them are. `values`: PIXELS or SAMPLES.
    OSError."""
    sides = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
    said = f"{{'descr': '{values}', 'fortran_order': False, 'shape': ({sides}), }}".encode()
    room = HEADER_BYTES - len(MAGIC) - 2
    file.seek(0)
    file.write(MAGIC + room.to_bytes(2, "little") + said.ljust(room - 1) + b"\n")
