"""A user's day, by the command line: publish, submit, watch, cancel, roll back, look, verify."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.system.installation import NOOP, Installation
from tests.waiting import until


def test_a_job_from_submission_to_its_saved_output(here: Installation, tmp_path: Path) -> None:
    saved = tmp_path / "out.bin"
    done = here.cli(
        "jobs", "submit", "noop", "--tier", "free", "--input", "output_bytes=1000", "--output", str(saved)
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert saved.read_bytes() == bytes(1000)
    assert "succeeded" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr, "no colours or bars in a pipe"


def test_each_tier_and_the_story(here: Installation) -> None:
    for tier in ("api", "enterprise", "unlimited", "light", "free"):
        found = here.json("jobs", "submit", "noop", "--tier", tier, "--wait")
        assert found["job"]["state"] == "succeeded"
        assert found["job"]["tier"] == tier
    told = here.cli("audit", "story", found["job"]["job"])
    assert told.returncode == 0
    assert re.search(r"offset +\d+ .*accepted", told.stdout)
    assert "succeeded" in told.stdout
    listed = here.json("jobs", "list", "--tier", "free")
    assert found["job"]["job"] in [job["job"] for job in listed]
    events = here.json("jobs", "events", found["job"]["job"])
    assert [event["state"] for event in events][-1] == "succeeded"


def test_a_failing_job_is_reported_with_exit_code_1(here: Installation) -> None:
    done = here.cli("jobs", "submit", "noop", "--input", "fail=invalid", "--wait", "-o", "json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["job"]["state"] == "dead_lettered"
    assert found["attempts"][0]["failure"] == "bad_inputs"


def test_cancelling_a_running_job(here: Installation) -> None:
    job = here.json("jobs", "submit", "noop", "--input", "sleep_ms=600000")["job"]
    until(lambda: here.json("jobs", "get", job)["job"]["state"] == "started", "the job started", 30)
    assert here.cli("jobs", "cancel", job).returncode == 0
    watched = here.cli("jobs", "watch", job)
    assert watched.returncode == 1
    assert here.json("jobs", "get", job)["job"]["state"] == "cancelled"


def test_promote_and_roll_back(here: Installation, tmp_path: Path) -> None:
    model = tmp_path / "noop"
    shutil.copytree(NOOP, model)
    (model / "noop.py").write_text((NOOP / "noop.py").read_text() + "\n# another version\n")
    before = here.json("jobs", "submit", "noop", "--wait")["job"]["version"]
    published = here.json("models", "publish", str(model))["version"]["digest"]
    assert published != before
    assert here.json("jobs", "submit", "noop", "--wait")["job"]["version"] == published
    moved = here.json("models", "rollback", "noop", "--why", "test")
    assert moved["version"] == before
    assert here.json("jobs", "submit", "noop", "--wait")["job"]["version"] == before
    assert here.json("jobs", "submit", f"noop@{published}", "--wait")["job"]["version"] == published
    shown = here.cli("models", "show", "noop")
    assert "rollback: test" in shown.stdout


def test_looking_around(here: Installation) -> None:
    clusters = here.cli("clusters", "list")
    assert "local" in clusters.stdout
    assert "node-1" in clusters.stdout
    assert "api" in here.cli("policy", "show").stdout
    status = here.json("status")
    assert {part["name"] for part in status["parts"]} >= {"kafka", "postgres", "s3", "scheduler", "api", "node-1"}
    doctor = here.cli("doctor")
    assert doctor.returncode == 0, doctor.stdout
    verdict = here.cli("audit", "verify")
    assert verdict.returncode == 0, verdict.stdout
    assert "clean" in verdict.stdout


def test_a_policy_in_force_without_a_restart(here: Installation, tmp_path: Path) -> None:
    changed = tmp_path / "policy.yaml"
    changed.write_text(Path(__file__).with_name("policy.yaml").read_text().replace("limit: 8", "limit: 5"))
    assert here.cli("policy", "apply", str(changed)).returncode == 0
    clusters = here.json("clusters", "list")["clusters"]
    assert [cluster["limit"] for cluster in clusters if cluster["cluster"] == "local"] == [5]
    assert here.json("jobs", "submit", "noop", "--wait")["job"]["state"] == "succeeded"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("jobs", "submit", "no-such-model"), 2, "no-such-model"),
        (("jobs", "submit", "noop@nowhere"), 2, "nowhere"),
        (("jobs", "submit", "noop", "--tier", "gold"), 2, "expected one of api, enterprise, free"),
        (("jobs", "submit", "noop", "--input", "sleep_ms=soon"), 2, "expected a value of type integer"),
        (("jobs", "submit", "noop", "--input", "colour=red"), 2, "colour"),
        (("jobs", "submit", "NO MODEL"), 2, "expected 'model'"),
        (("jobs", "get", "main-" + "0" * 32), 2, "no job with this id"),
        (("jobs", "sub"), 2, "No such command"),
        (("jobs", "submit"), 2, "Missing argument"),
        (("models", "publish", "/nowhere"), 2, "/nowhere"),
        (("models", "promote", "noop", "sha256:" + "0" * 64), 2, "has no version"),
        (("policy", "apply", "/nowhere.yaml"), 2, "cannot read"),
        (("audit", "story", "nonsense"), 2, "expected a job id"),
        (("audit", "verify", "--pool", "nowhere"), 2, "the pools are main"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(
    here: Installation, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = here.cli(*arguments)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("slo: 10s", "slo: 0s"), "line 3: slo: expected more than zero"),
        (("limit: 8", "limit: 0"), "line 11: limit: expected a whole number of at least 1"),
        (("failures_max", "failures_most"), "unknown field 'failures_most'"),
    ],
)
def test_a_bad_policy_names_its_line(here: Installation, tmp_path: Path, change: tuple[str, str], says: str) -> None:
    bad = tmp_path / "policy.yaml"
    bad.write_text(Path(__file__).with_name("policy.yaml").read_text().replace(*change))
    done = here.cli("policy", "apply", str(bad))
    assert done.returncode == 2
    assert says in done.stderr


def test_a_second_up_says_so_and_leaves_the_first_alone(here: Installation) -> None:
    done = here.cli("up", "--detach")
    assert done.returncode == 1
    assert "runs already" in done.stderr
    assert here.json("jobs", "submit", "noop", "--wait")["job"]["state"] == "succeeded"
