"""`headrace keys rotate` and `keys status`: the old key goes once nobody signs by it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli import api_health, key_rotation
from cli.main import run
from contract.signing import InstallationKey, installation_keys
from local import stack
from local.options import Layout
from local.status import PartStatus, StackStatus

OLD = InstallationKey(b"o" * 32)


class Running:
    """A stack whose parts, and whose scheduler's numbers, a test sets."""

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = Layout(data).installation_keys
        self.file.write_text(OLD.secret.hex())
        self.data, self.pid = data, 7
        self.parts: dict[str, str] = {}
        self.seen: dict[tuple[str, str], float] = {}
        monkeypatch.setattr(stack, "status", self.status)
        monkeypatch.setattr(api_health, "get", self.metrics)

    def status(self, data: Path) -> StackStatus:
        parts = [PartStatus(name=name, key_id=key_id, port=1) for name, key_id in self.parts.items()]
        return StackStatus(
            state="ready", data=str(data), pid=self.pid, parts=[*parts, PartStatus(name="scheduler", port=2)]
        )

    def metrics(self, url: str) -> SimpleNamespace:
        assert url == "http://127.0.0.1:2/metrics"
        lines = [
            f'{key_rotation._SEEN}{{key_id="{key_id}",role="{role}"}} {time.time() - ago_s}'
            for (key_id, role), ago_s in self.seen.items()
        ]
        return SimpleNamespace(text="\n".join([f"# TYPE {key_rotation._SEEN} gauge", *lines, ""]))

    @property
    def keys(self) -> tuple[InstallationKey, ...]:
        return installation_keys(self.file.read_text())

    def run(self, *arguments: str) -> int:
        return run(["keys", *arguments, "--data", str(self.data)])


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    for name in ("KAFKA", "API_URL", "INSTALLATION_KEYS", "SECRETS"):
        monkeypatch.delenv("HEADRACE_" + name, raising=False)
    return Running(tmp_path, monkeypatch)


def test_both_keys_are_in_force_until_nobody_signs_by_the_old_one(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    assert running.run("rotate") == 0
    new, old = running.keys
    assert old == OLD
    assert f"{new.id} replaces {OLD.id}; both are in force" in capsys.readouterr().out
    assert running.run("rotate") == 1
    assert "headrace keys rotate --finish" in capsys.readouterr().err, "a third key would end the first one's"
    running.parts = {"api": new.id, "node-1": OLD.id}
    for waits_for in (
        "expected nobody to sign by",
        "expected the scheduler to have read a record signed by",
        "expected nobody to have signed by",
    ):
        assert running.run("rotate", "--finish") == 1
        said = capsys.readouterr().err.replace("\n", " ")
        assert waits_for in said
        assert running.keys == (new, OLD)
        if waits_for.endswith("to sign by"):
            assert "found node-1" in said
            running.parts["node-1"] = new.id
        else:
            running.seen |= {(new.id, "node"): 1.0, (OLD.id, "node"): 30.0, (OLD.id, "api"): 300.0}
    assert running.run("status", "-o", "json") == 0
    newest, goes = json.loads(capsys.readouterr().out)
    assert (newest["key_id"], newest["newest"], newest["parts"]) == (new.id, True, ["api", "node-1"])
    assert (goes["key_id"], goes["parts"], round(goes["seen"]["api"])) == (OLD.id, [], 300)
    running.seen[OLD.id, "node"] = key_rotation.QUIET_S + 1
    assert running.run("rotate", "--finish") == 0
    assert running.keys == (new,)
    assert f"{OLD.id} is in force no longer" in capsys.readouterr().out
    assert running.run("rotate", "--finish") == 2


def test_a_key_that_leaked_goes_at_once_and_no_key_goes_unread(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    assert running.run("rotate") == 0
    new, _ = running.keys
    running.pid = 0
    assert running.run("rotate", "--finish") == 1
    assert "it may hold records that are signed by" in capsys.readouterr().err.replace("\n", " ")
    running.pid, running.parts = 7, {"api": OLD.id}
    assert running.run("rotate", "--finish", "--force") == 0
    assert running.keys == (new,)


def test_an_installation_of_ones_own_is_told_how(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_INSTALLATION_KEYS", OLD.secret.hex())
    assert running.run("rotate") == 2
    assert "put a new key (`openssl rand -hex 32`) before the old one" in capsys.readouterr().err.replace("\n", " ")
    assert running.keys == (OLD,)
