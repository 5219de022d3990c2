"""`pylock.toml`: the standard lock gives the same requirements as pip's format."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.environment_lock import environment, environment_digest, parse_lock
from registry.errors import RegistryError
from registry.manifest import digest_of
from registry.model_directory import read_model_directory
from registry.pylock import parse_pylock
from tests.unit.registry.samples import write_model

A, B = "a" * 64, "b" * 64
HEAD = 'lock-version = "1.0"\ncreated-by = "uv"\nrequires-python = ">=3.11"\n'
SDIST = """[[packages]]
name = "six"
version = "1.0"
sdist = { path = "six-1.0.tar.gz", hashes = { sha256 = "%s" } }
""".replace("%s", A)


def package(name: str = "six", version: str = "1.17.0", more: str = "", sha256: str = A) -> str:
    wheel = f'{{ url = "https://host.example/{name}-{version}-py3-none-any.whl", hashes = {{ sha256 = "{sha256}" }} }}'
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{more}\nwheels = [{wheel}]\n'


def test_both_formats_say_the_same_environment() -> None:
    lock = f'torch==2.15.0+cpu --hash=sha256:{A}\nsix==1.17.0 ; sys_platform == "linux" --hash=sha256:{B}\n'
    standard = (
        HEAD + package("six", more="marker = \"sys_platform == 'linux'\"", sha256=B) + package("torch", "2.15.0+cpu")
    )
    assert parse_pylock(standard) == parse_lock(lock)
    found = [
        environment_digest(environment("3.11", "any", each)) for each in (parse_pylock(standard), parse_lock(lock))
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "expected TOML"),
        (HEAD.replace('"1.0"', '"9.0"'), "expected a lock as PEP 751 has it"),
        (HEAD + SDIST, "six: expected a version and its wheels, found none"),
        (HEAD + '[[packages]]\nname = "six"\ndirectory = { path = "." }\n', "six: expected wheels, found a link"),
        (HEAD + package(more="marker = \"'x' in extras\""), "found a marker of extras or groups"),
        (HEAD + package(sha256="abc"), "expected a sha256 of each wheel"),
        (HEAD + package() + package(), "six is locked twice"),
    ],
)
def test_what_a_standard_lock_may_not_hold_is_told(text: str, words: str) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_pylock(text)
    assert str(caught.value).startswith("pylock.toml: ")
    assert words in str(caught.value)


def test_a_directory_may_bring_either_and_the_older_format_wins(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "model")
    before = digest_of(read_model_directory(directory).manifest)
    (directory / "pylock.toml").write_text(HEAD + package())
    both = read_model_directory(directory)
    assert (digest_of(both.manifest), both.ignored) == (before, ("pylock.toml",))
    (directory / "environment.lock").unlink()
    standard = read_model_directory(directory)
    assert standard.ignored == ()
    assert [each.name for each in standard.manifest.environment.requirements] == ["six"]
