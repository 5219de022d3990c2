"""`headrace store …` and what `doctor` says of logins, as they are typed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli import doctor, store
from cli.main import run
from local.s3_server import PREFIXES_OF, StoreLogin
from runtime.object_store import ObjectStore
from runtime.roles import OPERATOR, Role
from runtime.settings import Settings
from runtime.store_rights import Right, RightFound, policy_of, try_rights
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


def test_doctor_says_what_the_embedded_store_keeps_of_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    """It grants all below a role's prefixes, and all listings; whatever else is found is a fault."""
    beyond = {"node": "snapshots/: may write", "intake": ""}

    def found(store: ObjectStore, role: str) -> list[RightFound]:
        return [
            one._replace(found=one.found or one.prefix in PREFIXES_OF[role] or said == beyond[role])
            for one in try_rights(store, role)
            for said in [f"{one.prefix}: may {one.right}"]
        ]

    monkeypatch.setattr(doctor, "try_rights", found)
    intake, node = (
        doctor._kept_to_its_prefixes(Settings(), role, StoreLogin(role, "a secret")) for role in ("intake", "node")
    )
    assert (intake.good, node.good) == (True, False)
    assert intake.found.startswith("reaches results/, positions/, skips/ alone")
    assert node.found == "snapshots/: may write"
    monkeypatch.setattr(doctor, "try_rights", lambda store, role: [RightFound("positions/", Right.READ, True, False)])
    lacking = doctor._kept_to_its_prefixes(Settings(), Role.INTAKE, StoreLogin(Role.INTAKE, "a secret"))
    assert (lacking.good, lacking.found) == (False, "positions/: may not read")
