"""Writes what is generated from the contract: JSON Schema, AsyncAPI and docs/events.md. `make generate` runs it.

`python docs/generate.py --check` writes nothing and exits 1 when a file is stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import get_args

import msgspec

from contract import lifecycle, schemas
from contract.codec import tag_of
from contract.events import Event
from contract.inputs import Wire
from contract.orders import Order

HERE = Path(__file__).parent
ROOT = HERE.parent
VERSION = "1.0.0"


def as_json(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def diagram() -> str:
    """The lifecycle table as a Mermaid state diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> submitted"]
    for state, ways in lifecycle.TRANSITIONS.items():
        targets: dict[str, list[str]] = {}
        for event, target in ways.items():
            targets.setdefault(target.value, []).append(event)
        lines += [f"    {state.value} --> {target}: {', '.join(events)}" for target, events in targets.items()]
        if not ways:
            lines.append(f"    {state.value} --> [*]")
    return "\n".join([*lines, "```"])


def table(records: tuple[type[msgspec.Struct], ...]) -> str:
    rows = ["| record | fields | meaning |", "|---|---|---|"]
    for record in records:
        fields = ", ".join(f"`{field.name}`" for field in msgspec.structs.fields(record))
        meaning = " ".join((record.__doc__ or "").split())
        rows.append(f"| `{tag_of(record)}` | {fields} | {meaning.replace('|', '/')} |")
    return "\n".join(rows)


def events_page() -> str:
    return (
        "\n\n".join(
            [
                "# Events",
                "Generated from `contract/` by `docs/generate.py`; do not edit. The schemas are in `docs/contract/`.",
                "## The life of a job",
                "Drawn from `contract/lifecycle.py`. These leave the state alone: "
                + ", ".join(f"`{name}`" for name in sorted(lifecycle.ANYWHERE))
                + ".",
                diagram(),
                "## What is said to a scheduler: topic `jobs`",
                table(get_args(Wire)),
                "## What happened: topic `ledger`",
                "Each record is one `Batch.v1` that holds these events.",
                table(get_args(Event)),
                "## What nodes are told: topics `dispatch.<cluster>`",
                table(get_args(Order)),
            ]
        )
        + "\n"
    )


def generated() -> dict[Path, str]:
    return {
        HERE / "contract" / "headrace.schema.json": as_json(schemas.json_schema()),
        HERE / "contract" / "asyncapi.json": as_json(schemas.asyncapi(VERSION)),
        HERE / "events.md": events_page(),
    }


def stale() -> list[Path]:
    return [path for path, text in generated().items() if not path.exists() or path.read_text() != text]


def main() -> int:
    if "--check" in sys.argv:
        for path in stale():
            print(f"{path.relative_to(ROOT)} is stale: run `make generate`")
        return 1 if stale() else 0
    for path, text in generated().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
