"""How texts are printed that are not ours."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli import main, output
from cli.main import run
from local import stack


def test_what_stands_in_brackets_is_a_text_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["value"], [["[/x]"], ["[bold]y"]], empty="")
    output.facts([("reason", "[/x] [red]z")])
    said = capsys.readouterr().out
    assert all(text in said for text in ("[/x]", "[bold]y", "[/x] [red]z"))


def test_a_directory_may_have_brackets_in_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down", "--data", str(tmp_path / "[") + "/x]"]) == 0
    assert "no stack runs on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "error: expected an output that takes what is printed, found",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/x/settings.json"), "denied: /x/settings.json"),
    ],
)
def test_what_this_machine_refuses_is_said_in_a_sentence(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(data: object) -> None:
        raise error

    monkeypatch.setattr(stack, "down", refuse)
    assert run(["down"]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("code", "said"), [(errno.ENOSPC, "error: expected an output"), (errno.EPIPE, "")])
def test_a_disk_that_is_full_at_the_end_is_said_and_a_reader_who_left_is_not(
    code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "out").open("w") as file:

        def refuse() -> None:
            raise OSError(code, "it is full")

        monkeypatch.setattr(sys, "stdout", SimpleNamespace(flush=refuse, fileno=file.fileno))
        assert main._written(0) == 1
    assert capsys.readouterr().err.startswith(said)
