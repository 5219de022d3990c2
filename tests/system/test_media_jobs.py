"""Jobs with media by the doors that users have: uploaded, prepared, run; an output that another job uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.system.installation import Installation, wait_ended
from tests.system.media_by_hand import picture

MODEL_YAML = """
name: stills
entry_point: stills:Stills
chipsets: [cpu]
gpus: 0
timeout_s: 60
python: "3.11"
inputs:
  type: object
  additionalProperties: false
  required: [source]
  properties:
    source: {type: string, format: image, media: {width: 16, height: 12, bytes_max: 100000}}
outputs: {type: object}
"""
MODEL = """
PICTURE = bytes.fromhex("HEX")


class Stills:
    def load(self, weights_dir, device, rank, world_size):
        pass

    def predict(self, inputs, ctx):
        data = open(inputs["source"], "rb").read()
        with open(ctx.output("picture.png"), "wb") as made:
            made.write(PICTURE)
        return {"bytes": len(data), "head": data[10:128].decode()}
"""


@pytest.fixture(scope="module")
def here(two_workers: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("stills")
    (folder / "model.yaml").write_text(MODEL_YAML)
    (folder / "environment.lock").touch()
    (folder / "stills.py").write_text(MODEL.replace("HEX", picture(7).hex()))
    two_workers.json("models", "publish", str(folder))
    return two_workers


def submitted(here: Installation, source: str) -> str:
    job: str = here.json("jobs", "submit", "stills", "--input", f"source={source}")["job"]
    return job


def ended(here: Installation, job: str) -> dict[str, Any]:
    with here.api() as client:
        return wait_ended(client, [job], 60)[job]


def assert_succeeded(here: Installation, job: str) -> None:
    assert ended(here, job)["state"] == "succeeded", here.cli("jobs", "logs", job).stdout


def test_an_uploaded_picture_is_prepared_and_its_output_serves_another_job(here: Installation, tmp_path: Path) -> None:
    sent = tmp_path / "sent.png"
    sent.write_bytes(picture(1))
    first = submitted(here, f"@{sent}")
    assert_succeeded(here, first)
    with here.api() as client:
        result = client.get(f"/v1/jobs/{first}/result")
    assert "(12, 16, 3)" in result["values"]["head"], "the size that the schema asks for, in the head of the array"
    assert result["values"]["bytes"] == 128 + 16 * 12 * 3
    second = submitted(here, f"job:{first}/picture.png")
    assert_succeeded(here, second)


def test_a_file_that_is_no_picture_is_refused_in_a_sentence_that_its_owner_reads(
    here: Installation, tmp_path: Path
) -> None:
    sent = tmp_path / "sent.png"
    sent.write_bytes(b"#EXTM3U\nhttp://169.254.169.254/latest\n")
    job = submitted(here, f"@{sent}")
    found = ended(here, job)
    assert (found["state"], found["attempts"]) == ("refused", 0)
    shown = here.cli("jobs", "get", job).stdout
    assert "source" in shown
    assert "169.254" not in shown
