"""What the environment says wrongly is told in a sentence, not in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.main import run


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("HEADRACE_KAFKA", "::1:9092", "error: HEADRACE_KAFKA: expected host:port, separated by commas, without a"),
        ("HEADRACE_SECRETS", "/nowhere", "error: HEADRACE_SECRETS: expected a folder of secrets, found none at '/nowh"),
        ("HEADRACE_API_PORT", "hr_secret", "error: HEADRACE_API_PORT: Input should be a valid integer"),
        ("HEADRACE_API_URL", "api.example.com", "error: HEADRACE_API_URL: expected http://host:port or https://host:"),
        ("HEADRACE_API_KEY", "hr_sëcret", "error: HEADRACE_API_KEY: expected an API key as `headrace keys create`"),
        (
            "ALL_PROXY",
            "socks5h://u:hr_secret@p:1080",
            "error: expected ALL_PROXY to name a proxy by http:// or https://",
        ),
    ],
)
def test_a_setting_that_cannot_be_read(
    variable: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEADRACE_API_URL", "http://api.example.com")
    monkeypatch.setenv("HEADRACE_API_KEY", "hr_key")
    monkeypatch.setenv(variable, value)
    assert run(["jobs", "list"]) in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith(says)
    assert "hr_secret" not in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "error: HEADRACE_S3_CHECKSUMS: Input should be 'when_supported' or 'when_required'"),
        (("--cluster", "A B"), "error: --cluster: expected a name of lower case letters"),
        (
            ("--api-port", "99999"),
            "error: Invalid value for '--api-port': ",
        ),
    ],
)
def test_what_no_stack_can_start_with_is_said_before_anything_is_started(
    arguments: tuple[str, ...],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HEADRACE_S3_CHECKSUMS", "sometimes")
    data = tmp_path / "data"
    assert run(["up", "--detach", "--data", str(data), *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not data.exists()
