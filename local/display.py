"""The table of a stack's parts, for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from local.status import StackStatus

_STYLES = {
    "ready": "green",
    "starting": "yellow",
    "fetching": "yellow",
    "waiting": "dim",
    "stopping": "yellow",
    "stopped": "dim",
    "restarting": "red",
    "no space": "red",
    "degraded": "red",
    "failed": "red",
}


def render(status: StackStatus) -> RenderableType:
    """Parts with state, port and log, then the addresses, then the warnings."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("part", "state", "port", "pid", "crashes", "log"):
        table.add_column(heading, justify="right" if heading in ("port", "pid", "crashes") else "left", no_wrap=True)
    for part in status.parts:
        table.add_row(
            part.name,
            Text(part.state, _STYLES.get(part.state, "")),
            str(part.port or ""),
            str(part.pid or ""),
            str(part.restarts or ""),
            Text(part.log, "dim", overflow="ellipsis"),
        )
    lines: list[RenderableType] = [table, Text()] if status.parts else []
    lines.append(Text(f"stack {status.state}", _STYLES.get(status.state, "")) + Text(f"  data {status.data}"))
    if status.running and status.api_url:
        lines.append(Text(f"API {status.api_url}   Kafka {status.kafka}   keys in {status.keys_file}"))
    if status.ready_after_ms:
        lines.append(Text(f"ready after {status.ready_after_ms / 1000:.1f} s", "dim"))
    lines += [Text(f"{part.name}: {part.note}", "red") for part in status.parts if part.note and part.state != "ready"]
    lines += [Text(f"warning: {warning}", "yellow") for warning in status.warnings]
    return Group(*lines)
