"""What the command line of every kind of node asks for."""

from __future__ import annotations

import argparse
from pathlib import Path

from contract.bounds import SLOTS_MAX
from contract.names import is_name
from runtime.kafka import Lookup
from runtime.settings import Settings

DIGITS_MAX = 9


def node_parser(program: str, description: str, at_a_time: str) -> argparse.ArgumentParser:
    """`at_a_time`: what the node does in its slots, in words."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--cluster", required=True, type=name, help="the cluster this node belongs to")
    parser.add_argument("--node", required=True, type=name, help="name of this node, unique in the installation")
    parser.add_argument("--slots", required=True, type=slots, help=f"how many {at_a_time} at a time, 1 to {SLOTS_MAX}")
    parser.add_argument("--scratch", type=Path, help="directory of this node's own files (default: under the data)")
    parser.add_argument("--partition", default=0, type=count, help="the pool's partition of `jobs` (default: 0)")
    parser.add_argument("--cores", type=positive, help="CPU cores that the slots share (default: all)")
    parser.add_argument(
        "--drain-grace-s",
        default=10.0,
        type=float,
        help=f"how long {at_a_time} may go on after SIGTERM; whoever stops the node should wait longer (default: 10)",
    )
    return parser


def name(text: str) -> str:
    if not is_name(text):
        raise argparse.ArgumentTypeError(f"expected lower case letters, digits, '.', '_', '-', found {text[:80]!r}")
    return text


def count(text: str) -> int:
    if not text.isdecimal() or len(text) > DIGITS_MAX:
        raise argparse.ArgumentTypeError(f"expected a whole number of at most {DIGITS_MAX} digits, found {text[:80]!r}")
    return int(text)


def positive(text: str) -> int:
    number = count(text)
    if number == 0:
        raise argparse.ArgumentTypeError("expected at least 1, found 0")
    return number


def slots(text: str) -> int:
    number = positive(text)
    if number > SLOTS_MAX:
        raise argparse.ArgumentTypeError(
            f"expected at most {SLOTS_MAX} slots, found {number}; start several nodes on this machine"
        )
    return number


def node_folder(settings: Settings, node: str) -> Path:
    """The data directory of this node."""
    return settings.data / "nodes" / node


def payload_at(lookup: Lookup, partition: int, offset: int) -> bytes | None:
    """The record of `jobs` with a payload; None when there is none."""
    record = lookup.at(partition, offset)
    return None if record is None else record.value
