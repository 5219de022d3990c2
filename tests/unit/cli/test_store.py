"""`headrace store …` and what `doctor` says of logins, as they are typed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli import doctor, store
from cli.main import run
from runtime.roles import Role
from runtime.settings import Settings
from runtime.store_rights import OPERATOR, policy_of
from tests.twin.logins import BUCKET, LoginStore
from tests.twin.object_store import TwinState


@pytest.fixture(autouse=True)
def logins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The access key names the role whose policy the login has."""
    state = TwinState()

    def of(here: Settings) -> LoginStore:
        return LoginStore(policy_of(here.s3_access_key, BUCKET), state)

    for module in (store, doctor):
        monkeypatch.setattr(module, "store_of_moment", of)
    monkeypatch.setattr(store, "settings", lambda data: Settings(s3_access_key=Role.NODE))


def test_a_policy_is_printed_for_the_bucket(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["store", "policies", "node", "--bucket", "videos"]) == 0
    assert json.loads(capsys.readouterr().out) == policy_of("node", "videos")
    assert run(["store", "policies", "projector"]) == 2
    assert "expected one of scheduler, intake" in capsys.readouterr().err


def test_a_login_that_does_what_its_role_needs_is_well_and_another_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["store", "rights", "node"]) == 0
    assert "does what node needs, and nothing else" in capsys.readouterr().err
    assert run(["store", "rights", "scheduler", "-o", "json"]) == 1
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert {"prefix": "snapshots/", "right": "read", "expected": True, "found": False, "good": False} in found


def test_doctor_tries_the_logins_that_the_environment_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "what_it_supports", lambda here: [])
    assert doctor._store(Settings()) == []
    for role, login in ((Role.NODE, OPERATOR), (Role.INTAKE, Role.INTAKE)):
        monkeypatch.setenv(f"S3_{role.upper()}_ACCESS_KEY", login)
        monkeypatch.setenv(f"S3_{role.upper()}_SECRET_KEY", "a secret")
    intake, node = doctor._store(Settings())
    assert (intake.good, node.good) == (True, False)
    assert "results/: may read" in node.found
    assert "results/: may delete" in node.found
    assert "`headrace store policies node` prints" in node.todo
