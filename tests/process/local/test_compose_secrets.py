"""`make compose-secrets`: what docker-compose.yml asks for is drawn, and kept where its owner alone reads it."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
SECRETS = {"KAFKA_ADMIN_PASSWORD", "POSTGRES_PASSWORD", "S3_SECRET_KEY"}


def test_they_are_those_that_compose_asks_for() -> None:
    asked = re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text())
    assert set(asked) == SECRETS


def test_the_secrets_are_drawn_once_into_a_file_of_the_owners(tmp_path: Path) -> None:
    file = tmp_path / ".env"

    def drawn() -> dict[str, str]:
        subprocess.run(["/bin/sh", ROOT / "local" / "compose_secrets.sh", file], check=True, stdout=subprocess.PIPE)
        return dict(line.split("=", 1) for line in file.read_text().splitlines())

    file.write_text("S3_ACCESS_KEY=mine\nPOSTGRES_PASSWORD=\n")
    file.chmod(0o644)
    first = drawn()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first["S3_ACCESS_KEY"] == "mine"
    assert set(first) == {"S3_ACCESS_KEY", *SECRETS}
    assert all(re.fullmatch("[0-9a-f]{48}", first[name]) for name in SECRETS)
    assert first["POSTGRES_PASSWORD"] != first["S3_SECRET_KEY"]
    assert drawn() == first, "what is there stays"
    assert "/.env" in (ROOT / ".gitignore").read_text().splitlines()
