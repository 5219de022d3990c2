"""What a door takes: how long, how deep, how large a value from outside may be, and whole text only.

A door is any place where bytes come in that somebody else wrote (design, rule 7). These bounds belong to the doors'
decoders (`codec.decode_input`, `codec.decode_submission`, `codec.decode_values`) and to nothing else: the types with
which a ledger is read stay as wide as anything that was ever written there.

What every part behind a door can hold decided the numbers: Postgres keeps integers of 64 bits with a sign and text
without NUL, JSON's readers elsewhere keep whole numbers up to 2^53, calendars end with the year 9999.
"""

from __future__ import annotations

import re
from typing import Any

NUMBER_MAX = 2**53 - 1
"""The largest whole number of a record of ours, either side of zero: what every reader of JSON keeps exactly."""

TIME_MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999: the largest moment that a date can be written of."""

VALUE_LEAST, VALUE_MOST = -(2**63), 2**64 - 1
"""Whole numbers inside what a user or a model wrote: seeds of 64 bits, with or without a sign."""

DEPTH_MAX = 64
"""Lists and objects in each other, in what a user or a model wrote."""

TEXT_MAX = 1_000
"""Bytes, in UTF-8, of one text of a record of `jobs`: an index of Postgres holds two such texts. The longest of ours, a
model reference with its digest, has 135."""

SLOTS_MAX = 64
"""Of one node."""

HELD_MAX = 256
"""Attempts that one node may hold, running and staged: what closes all of them at once fits a ledger record."""

POLICY_BYTES_MAX = 64 * 1024
"""Of a policy's canonical JSON: it travels whole in PolicyApplied, PolicyAdopted and every snapshot."""

CACHED_BYTES_MAX = 16 * 1024
"""What a join or a heartbeat may take to list the versions cached on a node, as JSON."""

REPORTS_BYTES_MAX = 48 * 1024
"""Of a NodeReport as a node writes it: it fits `jobs` whatever the policy's `payload_max`."""

REFUSAL_BYTES_MAX = 48 * 1024
"""Of a record of `quarantine`: what says why something was refused fits whatever the policy's `payload_max`."""

RECORD_BYTES_MAX = 128 * 1024
"""Of any record of `jobs` but a submission."""

_LONG_NUMBER = re.compile(rb"[0-9]{16}")
_ESCAPED_NUL = b"\\u0000"
_NO_CHARACTER = re.compile("[\0\ud800-\udfff]")


def may_be_out_of_bounds(raw: bytes) -> bool:
    """Whether JSON bytes that were decoded could hold a number or a NUL that `fault_of` would find: a quick look that
    never misses one and seldom cries wolf, so that most records need no walk."""
    return _ESCAPED_NUL in raw or _LONG_NUMBER.search(raw) is not None


def fault_of(value: Any, least: int, most: int, depth_max: int, text_max: int = 0) -> str:
    """What is out of bounds in a decoded JSON value, as `expected …, found …`, without its words; empty: nothing.

    `text_max` is in bytes of UTF-8, 0: text may be of any length. Takes time in proportion to the value's size,
    whatever its shape."""
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
    """The same words as whole characters without NUL: what is neither (half a surrogate pair, as Python makes of a file
    name that is not UTF-8) becomes U+FFFD. For words that a model says of itself, which decide nothing."""
    return _NO_CHARACTER.sub("\ufffd", text)
