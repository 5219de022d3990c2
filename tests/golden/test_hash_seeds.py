"""No decision depends on how strings hash: a set of names that is iterated comes in another order in each process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

from tests.golden.rules import HERE

MADE = "import sys; from tests.golden.rules import ledger; sys.stdout.buffer.write(b'\\n'.join(ledger()) + b'\\n')"


def made_with(seed: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    return subprocess.Popen([sys.executable, "-c", MADE], stdout=subprocess.PIPE, env=environment, cwd=HERE.parents[1])


def test_the_golden_life_is_decided_byte_for_byte_under_any_hash_seed() -> None:
    makers = [made_with(seed) for seed in ("1", "2")]
    (first, _), (second, _) = [maker.communicate(timeout=60) for maker in makers]
    assert [maker.returncode for maker in makers] == [0, 0]
    assert len(first) > 100_000
    assert hashlib.sha256(first).hexdigest() == hashlib.sha256(second).hexdigest()
