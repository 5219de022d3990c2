"""The guides say what is so: their paths and links lead somewhere, and the annotated ledger record is a real one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from contract.policy import Cluster, Policy, Pool, Tier
from contract.topics import topics_for
from local.jars import repository
from registry import keys
from runtime.settings import ENV_PREFIX, SECRETS_VARIABLE, Settings
from tests.unit.architecture.product import ROOT

GUIDES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/architecture.md",
    "docs/glossary.md",
    "docs/runbook.md",
    "docs/security.md",
)
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()}
GOLDEN = ROOT / "tests" / "golden" / "rules_3.jsonl"
ANNOTATED = 347
"""Line of the golden ledger, from 1."""


@pytest.mark.parametrize("guide", GUIDES)
def test_every_path_that_a_guide_names_is_there(guide: str) -> None:
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?)`", (ROOT / guide).read_text())
    paths = {name for name in named if "/" in name and name.split("/")[0] in FOLDERS}
    assert {name for name in paths if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("guide", GUIDES)
def test_every_name_that_a_guide_places_in_a_file_stands_there(guide: str) -> None:
    placed = re.findall(r"`(\w+)` (?:of|in)\s+`([\w/]+\.py)`", (ROOT / guide).read_text())
    assert [(name, file) for name, file in placed if name not in (ROOT / file).read_text()] == []


@pytest.mark.parametrize("guide", GUIDES)
def test_every_link_of_a_guide_leads_somewhere(guide: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / guide).read_text())
    files = [target for target in targets if not re.match(r"\w+:", target)]
    assert [target for target in files if not (ROOT / guide).parent.joinpath(target).exists()] == []


def test_the_form_of_an_api_key_is_published_for_scanners() -> None:
    assert f"`{keys.PATTERN}`" in (ROOT / "docs" / "security.md").read_text()


def test_the_processes_that_are_drawn_are_those_that_run() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    started = {service["command"][0] for service in services.values() if service["image"] == "headrace"} - {
        "local.install"
    }
    assert set(re.findall(r"\| `python -m ([\w.]+)", ARCHITECTURE)) == started


def test_the_topics_of_the_table_are_those_that_are_made() -> None:
    table = ARCHITECTURE.split("| topic | key |")[1].split("\n\n")[0]
    policy = Policy({"free": Tier(1_000)}, {"main": Pool(0)}, {"CLUSTER": Cluster("main", 1)})
    assert set(re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)) == {t.name for t in topics_for(policy)}


@pytest.mark.parametrize("guide", GUIDES)
def test_every_setting_that_a_guide_names_is_one(guide: str) -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields} | {repository.VARIABLE, SECRETS_VARIABLE}
    assert set(re.findall(r"\bHEADRACE_[A-Z0-9_]+", (ROOT / guide).read_text())) <= known


def test_the_annotated_record_is_that_of_the_golden_ledger() -> None:
    block = re.search(r"```json\n(.*?)```", ARCHITECTURE, re.DOTALL)
    assert block is not None
    shown = json.loads(block[1])
    line = GOLDEN.read_bytes().splitlines()[ANNOTATED - 1]
    assert json.dumps(shown, separators=(",", ":")).encode() == line
    assert f"number {ANNOTATED} of `{GOLDEN.relative_to(ROOT)}`" in ARCHITECTURE


def test_every_field_of_the_annotated_record_is_explained() -> None:
    section = ARCHITECTURE.split("## One ledger record")[1].split("\n## ")[0]
    _, shown, tables = section.split("```")
    first_cells = re.findall(r"^\| (`.*?) \|", tables, re.MULTILINE)
    explained = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert set(_fields(json.loads(shown.removeprefix("json")))) - explained == set()


def _fields(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for part in value.values():
            yield from _fields(part)
    elif isinstance(value, list):
        for part in value:
            yield from _fields(part)


@pytest.mark.parametrize(
    "door", ["README.md", "api/submissions.py", "docs/contract/asyncapi.json", "cli/jobs.py", "docs/security.md"]
)
def test_every_door_says_that_keys_and_event_ids_name_nobody(door: str) -> None:
    """A job's id is a hash of them that nothing removes (security review, 11)."""
    said = re.sub(r"[\s\"]+", " ", (ROOT / door).read_text())
    assert re.search(r"name nobody|name anybody", said)
