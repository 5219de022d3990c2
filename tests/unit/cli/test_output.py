"""How texts are printed that are not ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import output
from cli.main import run


def test_what_stands_in_brackets_is_a_text_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["value"], [["[/x]"], ["[bold]y"]], empty="")
    output.facts([("reason", "[/x] [red]z")])
    said = capsys.readouterr().out
    assert all(text in said for text in ("[/x]", "[bold]y", "[/x] [red]z"))


def test_a_directory_may_have_brackets_in_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down", "--data", str(tmp_path / "[") + "/x]"]) == 0
    assert "no stack runs on" in capsys.readouterr().err
