"""Doors of a stack's data directory: the files that a full disk or a loss of power may have left half written."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import msgspec

from local import stack
from local.install import _known_keys
from local.options import Keys, Layout, Memory, recall
from local.own_files import FileDamaged
from local.status import StackStatus, last_words
from runtime.settings import Settings
from tests.fuzz.door import Door
from tests.fuzz.mutations import mostly_good

SETTINGS = msgspec.json.encode(Settings().environment())
KEYS = msgspec.json.encode(Keys("demo", "hr_a", "hr_b"))
MEMORY = msgspec.json.encode(Memory(ports={"kafka": 9092}, words_kept_ms=1, installed=True))
Files = tuple[bytes, bytes, bytes, bytes]
"""settings.json, keys.json, stack.json, status.json."""


def files(chance: Random) -> Files:
    good = [SETTINGS, KEYS, MEMORY, b"{}"]
    at = chance.randrange(len(good))
    good[at] = chance.choice((b"", mostly_good(chance, good[at]), mostly_good(chance, good[at])))
    return good[0], good[1], good[2], good[3]


def feed_files(given: Files) -> bool:
    with tempfile.TemporaryDirectory(prefix="headrace-door-") as folder:
        layout = Layout(Path(folder))
        places = (layout.settings, layout.keys, layout.memory, layout.status)
        for place, raw in zip(places, given, strict=True):
            place.write_bytes(raw)
        assert _known_keys(layout.keys) is None or stack.keys(layout.data)
        words = last_words(layout)
        assert words is None or isinstance(words, StackStatus)
        settings = stack.settings(layout.data)
        assert settings.environment()
        stack.keys(layout.data)
        recall(layout)
    return True


DOORS = (Door("files of a data directory", files, feed_files, ("local.own_files.read",), (FileDamaged,)),)
