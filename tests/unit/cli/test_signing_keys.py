"""`headrace keys derive`, and what `doctor` says of how commands sign."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import doctor
from cli.main import run
from contract.signing import InstallationKey
from local.options import Layout
from runtime.settings import Settings

KEY = InstallationKey(b"k" * 32)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA", "API_URL", "SIGNER", "SIGNING_KEY", "INSTALLATION_KEYS", "SECRETS"):
        monkeypatch.delenv("HEADRACE_" + name, raising=False)


def derived(capsys: pytest.CaptureFixture[str], signer: str, data: Path) -> dict[str, str]:
    assert run(["keys", "derive", signer, "--data", str(data), "-o", "json"]) == 0
    found: dict[str, str] = json.loads(capsys.readouterr().out)
    return found


def test_it_prints_the_settings_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Layout(tmp_path).installation_keys.write_text(KEY.secret.hex())
    signer = "node.local/gpu-7"
    expected = {"HEADRACE_SIGNER": signer, "HEADRACE_SIGNING_KEY": KEY.of(signer).text}
    assert derived(capsys, signer, tmp_path) == expected
    assert run(["keys", "derive", signer, "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [f"{name}={value}" for name, value in expected.items()]
    new = InstallationKey(b"n" * 32)
    monkeypatch.setenv("HEADRACE_INSTALLATION_KEYS", f"{new.secret.hex()},{KEY.secret.hex()}")
    assert derived(capsys, signer, tmp_path)["HEADRACE_SIGNING_KEY"] == new.of(signer).text, "the newest one"


def test_without_an_installation_key_or_a_signer_it_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["keys", "derive", "api", "--data", str(tmp_path)]) == 2
    assert "expected the installation's key in HEADRACE_INSTALLATION_KEYS" in capsys.readouterr().err
    Layout(tmp_path).installation_keys.write_text(KEY.secret.hex())
    assert run(["keys", "derive", "node.local", "--data", str(tmp_path)]) == 2
    assert "expected a signer like api" in capsys.readouterr().err


def test_doctor_says_as_whom_commands_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA", "a.broker:1")

    def said(settings: Settings) -> tuple[bool, str]:
        (finding,) = doctor._signing(settings)
        return finding.good, finding.found

    ada, api = KEY.of("operator.ada"), KEY.of("api")
    assert said(Settings(signer=ada.signer, signing_key=ada.text)) == (True, "as operator.ada")
    assert said(Settings(signer=api.signer, signing_key=api.text)) == (False, "api")
    assert said(Settings()) == (False, "they sign nothing")
