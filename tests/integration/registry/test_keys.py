from __future__ import annotations

import hashlib
import secrets
from typing import Literal

import pytest
from sqlalchemy import Engine, text

from registry import keys
from registry.errors import RegistryError
from registry.keys import Keyring


def test_a_secret_is_shown_once_and_stands_for_its_tenant(engine: Engine) -> None:
    secret = keys.create(engine, "acme", ["api", "free"])
    assert secret.startswith("hr_")
    assert keys.could_be(secret)
    key = keys.resolve(engine, secret)
    assert key is not None
    assert (key.tenant, key.tiers, key.scope) == ("acme", ("api", "free"), "user")
    assert key.id == "key_" + secret.split("_")[1], "whoever holds a secret can say which key to revoke"
    assert keys.resolve(engine, secret + "x") is None
    assert keys.resolve(engine, "") is None
    assert keys.resolve(engine, "\udcff\x00") is None
    with engine.connect() as connection:
        whole = str(connection.execute(text("SELECT to_jsonb(k) FROM registry.keys k")).all())
    assert secret not in whole
    assert secret.split("_")[2][:12] not in whole


def test_a_key_of_an_older_release_works_on(engine: Engine) -> None:
    old = "hr_" + secrets.token_urlsafe(32)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO registry.keys (sha256, id, tenant, tiers, scope)"
                " VALUES (:sha256, 'k', 'acme', '{f}', 'user')"
            ),
            {"sha256": hashlib.sha256(old.encode()).hexdigest()},
        )
    assert keys.could_be(old)
    found = keys.resolve(engine, old)
    assert found is not None
    assert found.tenant == "acme"


def test_a_revoked_key_opens_nothing(engine: Engine) -> None:
    secret = keys.create(engine, "acme", ["free"], scope="operator")
    keyring = Keyring(engine, ttl_s=60)
    key = keyring.resolve(secret)
    assert key is not None
    assert keyring.kept(secret) == key
    assert keyring.revoke(key.id)
    assert keyring.resolve(secret) is None
    assert keyring.kept(secret) is None
    assert not keyring.revoke(key.id)
    assert not keys.revoke(engine, key.id)
    assert [listed.revoked_ms > 0 for listed in keys.listed(engine, "acme")] == [True]
    assert keys.listed(engine, "other") == ()
    with pytest.raises(RegistryError, match="no key has the id 'key_none'"):
        keys.revoke(engine, "key_none")


def test_an_answer_is_kept_no_longer_than_asked(engine: Engine) -> None:
    secret = keys.create(engine, "acme", ["free"])
    patient, hasty = Keyring(engine, ttl_s=60), Keyring(engine, ttl_s=1e-9)
    assert patient.resolve(secret) is not None
    assert hasty.resolve(secret) is not None
    with engine.begin() as connection:  # another process revokes it
        connection.execute(text("UPDATE registry.keys SET revoked_at = now()"))
    assert patient.resolve(secret) is not None
    assert hasty.resolve(secret) is None
    assert keys.resolve(engine, secret) is None


@pytest.mark.parametrize(
    ("tenant", "tiers", "scope"),
    [("ACME", ["free"], "user"), ("acme", [], "user"), ("acme", ["Free"], "user"), ("acme", ["free"], "root")],
)
def test_a_key_with_a_bad_name_is_refused(
    engine: Engine, tenant: str, tiers: list[str], scope: Literal["user", "operator"]
) -> None:
    with pytest.raises(RegistryError, match="expected"):
        keys.create(engine, tenant, tiers, scope)
