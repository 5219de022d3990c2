"""The benchmark of a node and its media runs, with little of all."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import worker


@pytest.mark.long
@pytest.mark.parametrize("alone", [False, True], ids=["the node", "the model"])
def test_jobs_with_media_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, alone: bool) -> None:
    for name, value in {"SECONDS": 0.3, "DECODING_S": 0.1, "CLIP_BYTES": 1_000, "FRAMES": 3, "WARM": 1}.items():
        monkeypatch.setattr(worker, name, value)
    arm = worker.measured("arm", tmp_path / "arm", 2, 1, alone=alone)
    assert 0.0 < arm.busy <= 1.0
    assert arm.gap_s > 0
    assert arm.cpu_s > 0
    assert arm.out_bytes > 10_000
    assert "| arm | 2 | " in worker.page([arm], 1)
