"""The benchmark's no-op: notes when it was submitted and when it started."""

from typing import Any

from stamp import stamp


class Stamp:
    def load(self, weights_dir: str, device: str, rank: int, world_size: int) -> None:
        """Nothing to load."""

    def predict(self, inputs: dict[str, Any], ctx: Any) -> dict[str, Any]:
        stamp(inputs["sent_ns"], inputs["folder"])
        return {}
