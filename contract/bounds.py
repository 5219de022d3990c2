"""What a door takes: how large, how deep and how long a value from outside may be, and that its text is whole.

A door is any place where bytes come in that somebody else wrote (design, rule 7). Only the doors' decoders apply these
bounds (`codec.decode_input`, `codec.decode_submission`, `codec.decode_values`). The types with which a ledger is read
have no bounds: a bound there would make a ledger unreadable that was written before the bound was set.

What the parts behind a door can hold decided the numbers. Postgres keeps signed integers of 64 bits and text without
NUL, other readers of JSON keep whole numbers up to 2^53, and calendars end with the year 9999.
"""

from __future__ import annotations

import re
from typing import Any

NUMBER_MAX = 2**53 - 1
"""The largest whole number of a record of ours, and negated the smallest: every reader of JSON keeps it exactly."""

TIME_MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999: no later moment can be written as a date."""

VALUE_LEAST, VALUE_MOST = -(2**63), 2**64 - 1
"""Whole numbers in what a user or a model wrote: seeds of 64 bits, signed or not."""

DEPTH_MAX = 64
"""How deep lists and objects may be nested in what a user or a model wrote."""

TEXT_MAX = 1_000
"""Bytes in UTF-8 of one text in a record of `jobs`. An index of Postgres must hold two such texts. Our longest text, a
model reference with its digest, has 135."""

SLOTS_MAX = 64
"""Slots of one node."""

RENDEZVOUS_PORTS = 1_000
"""Ports at which a node offers rank 0 of gangs: those from the port in the node's address on."""

HELD_MAX = 256
"""Attempts that one node may hold, running and staged. The events that close all of them at once fit a ledger record
(contract.batch.ONE_INPUT_BYTES_MAX)."""

MESSAGE_BYTES_MAX = 2 * 1024 * 1024
"""Bytes of one record of any topic."""

PAYLOAD_ROOM_BYTES = 64 * 1024
"""What a topic's largest record may have besides the payload: the submission's other fields, the key, the headers."""

POLICY_BYTES_MAX = 64 * 1024
"""Bytes of a policy as JSON. PolicyApplied, PolicyAdopted and every snapshot hold the whole policy."""

CACHED_BYTES_MAX = 16 * 1024
"""Bytes, as JSON, of the list of versions cached on a node, in a join or a heartbeat."""

REPORTS_BYTES_MAX = 48 * 1024
"""Bytes of a NodeReport as a node writes it. `jobs` takes it however small the policy's `payload_max` is."""

REFUSAL_BYTES_MAX = 48 * 1024
"""Bytes of a record of `quarantine`. The topic takes it however small the policy's `payload_max` is, so the reason of a
refusal is never lost."""

RECORD_BYTES_MAX = 128 * 1024
"""Bytes of any record of `jobs` that is no submission. The inputs of a ledger record have the same room
(contract.batch.INPUT_BYTES_MAX)."""

_LONG_NUMBER = re.compile(rb"[0-9]{16}")
_ESCAPED_NUL = b"\\u0000"
_NUL_OR_SURROGATE = re.compile("[\0\ud800-\udfff]")


def may_be_out_of_bounds(raw: bytes) -> bool:
    """False when these JSON bytes, which were decoded, hold no number and no NUL that `fault_of` would refuse. True
    means: ask `fault_of`. Most records need no `fault_of` then, which walks the whole value."""
    return _ESCAPED_NUL in raw or _LONG_NUMBER.search(raw) is not None


def fault_of(value: Any, least: int, most: int, depth_max: int, text_max: int = 0) -> str:
    """What is out of bounds in a decoded JSON value, as `expected …, found …`; empty when nothing is. The message
    quotes no text of the value.

    `least` and `most` bound whole numbers. `text_max` bounds each text in bytes of UTF-8; 0 means any length. The walk
    takes time in proportion to the value's size and does not recurse, so no nesting can exhaust the stack."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        kind = type(item)
        if kind is str:
            if "\0" in item:
                return "expected text without the character NUL, found one"
            if text_max and 4 * len(item) > text_max and (size := len(item.encode(errors="surrogatepass"))) > text_max:
                return f"expected text of at most {text_max} bytes, found {size}"
        elif kind is int:
            if not least <= item <= most:
                return f"expected whole numbers from {least} to {most}, found another"
        elif kind is dict or kind is list or kind is tuple:
            if depth >= depth_max:
                return f"expected lists and objects at most {depth_max} deep, found more"
            if kind is dict:
                waiting += [(name, depth + 1) for name in item]
                item = item.values()
            waiting += [(part, depth + 1) for part in item]
    return ""


def mended(text: str) -> str:
    """The text with U+FFFD in place of every NUL and every half of a surrogate pair. (Python makes such halves of a
    file name that is not UTF-8.) Mend only words that decide nothing, such as a model's error message."""
    return _NUL_OR_SURROGATE.sub("\ufffd", text)


def visible(text: str) -> str:
    """The text in one line that can do nothing to a terminal: every unprintable character is written as an escape.
    Messages quote what somebody else wrote in this form."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
