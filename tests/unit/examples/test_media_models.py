"""The models of the media family, as far as that can be seen without running them."""

from __future__ import annotations

import msgspec
import pytest
import yaml

from contract.media import MediaRule, rule_fault
from tests.unit.architecture.product import ROOT

MODELS = ROOT / "examples" / "models"
FAMILY = ("shapes", "modify_video", "image_to_video", "upscale")
WEIGHTS_MAX = 20_000_000


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("media_file.py", "upscale"),
        ("media_file.py", "modify_video"),
        *((name, folder) for name in ("codec.py", "flow.py", "prompt.py", "words.py") for folder in FAMILY[:2]),
    ],
)
def test_what_two_models_share_is_the_same_in_both(name: str, folder: str) -> None:
    """A published directory stands alone, so each has a copy."""
    assert (MODELS / folder / name).read_bytes() == (MODELS / "image_to_video" / name).read_bytes()


def test_the_family_runs_in_one_environment() -> None:
    """Nodes share an environment between versions that have the same lock."""
    assert len({(MODELS / folder / "environment.lock").read_bytes() for folder in FAMILY}) == 1


def test_the_weights_of_the_family_are_small() -> None:
    assert (
        sum(path.stat().st_size for folder in FAMILY for path in (MODELS / folder / "weights").iterdir()) < WEIGHTS_MAX
    )


@pytest.mark.parametrize(
    ("folder", "field", "kind"),
    [("modify_video", "video", "video"), ("image_to_video", "image", "image"), ("upscale", "video", "video")],
)
def test_a_field_of_media_has_a_rule_that_may_be_published(folder: str, field: str, kind: str) -> None:
    said = yaml.safe_load((MODELS / folder / "model.yaml").read_text())["inputs"]["properties"][field]
    assert said["format"] == kind
    assert rule_fault(kind, msgspec.convert(said["media"], MediaRule)) == ""
