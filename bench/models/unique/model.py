"""Stands behind a schema; no job of the benchmark gets here."""

from typing import Any


class Unique:
    def load(self, weights_dir: str, device: str, rank: int, world_size: int) -> None:
        """Nothing to load."""

    def predict(self, inputs: dict[str, Any], ctx: Any) -> dict[str, Any]:
        return {}
