"""`headrace nodes token`: who holds the installation's key lets a machine in, for a short time."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from cli.main import run
from contract.join_tokens import JOIN_TOKEN_HEADER, good_until_ms
from contract.signing import InstallationKey
from local.options import Layout

KEY = InstallationKey(b"k" * 32)
MINUTE_MS = 60_000


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA", "API_URL", "INSTALLATION_KEYS", "SECRETS"):
        monkeypatch.delenv("HEADRACE_" + name, raising=False)


def token(data: Path, *more: str) -> int:
    return run(["nodes", "token", "--cluster", "east", "--name", "gpu-7", "--data", str(data), *more])


def test_it_lets_this_node_in_and_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Layout(tmp_path).installation_keys.write_text(KEY.secret.hex())
    now_ms = time.time_ns() // 1_000_000
    assert token(tmp_path, "-o", "json") == 0
    made = json.loads(capsys.readouterr().out)
    given = [(JOIN_TOKEN_HEADER, made["HEADRACE_JOIN_TOKEN"].encode())]
    until_ms = good_until_ms([KEY], given, "east", "gpu-7", now_ms)
    assert now_ms + 15 * MINUTE_MS <= until_ms == made["until_ms"] <= now_ms + 16 * MINUTE_MS
    assert good_until_ms([KEY], given, "east", "gpu-8", now_ms) == 0
    assert token(tmp_path, "--for", "2h") == 0
    name, _, text = capsys.readouterr().out.strip().partition("=")
    assert name == "HEADRACE_JOIN_TOKEN"
    assert (
        good_until_ms([KEY], [(JOIN_TOKEN_HEADER, text.encode())], "east", "gpu-7", now_ms) > now_ms + 119 * MINUTE_MS
    )


def test_none_is_made_for_longer_than_a_day_or_for_what_is_no_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert token(tmp_path) == 2
    assert "expected the installation's key in HEADRACE_INSTALLATION_KEYS" in capsys.readouterr().err
    Layout(tmp_path).installation_keys.write_text(KEY.secret.hex())
    assert token(tmp_path, "--for", "25h") == 2
    assert "--for: expected at most 1d, found '25h'" in capsys.readouterr().err
    assert run(["nodes", "token", "--cluster", "east", "--name", "a/b", "--data", str(tmp_path)]) == 2
    assert "expected the names of a cluster and a node" in capsys.readouterr().err
