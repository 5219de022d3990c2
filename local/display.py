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
    """The parts with state and port, then the places, then what is wrong."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("part", "state", "port", "pid", "crashes"):
        table.add_column(heading, justify="left" if heading in ("part", "state") else "right", no_wrap=True)
    for part in status.parts:
        table.add_row(
            part.name,
            Text(part.state, _STYLES.get(part.state, "")),
            str(part.port or ""),
            str(part.pid or ""),
            str(part.restarts or ""),
        )
    lines: list[RenderableType] = [table, Text()] if status.parts else []
    after = f" after {status.ready_after_ms / 1000:.1f} s" if status.state == "ready" and status.ready_after_ms else ""
    lines.append(Text(f"stack {status.state}", _STYLES.get(status.state, "")) + Text(after, "dim"))
    places = {"data": status.data}
    if status.running and status.api_url:
        places |= {"API": status.api_url, "Kafka": status.kafka, "S3": status.s3_endpoint, "keys": status.keys_file}
        places["stats"] = status.api_metrics_url
        places["logs"] = f"{status.data}/logs"
    lines += [Text(f"{name:<6}{place}") for name, place in places.items()]
    lines += [
        Text(f"{part.name}: {part.note}", "red")
        for part in status.parts
        if part.note and (part.state != "ready" or not part.steady)
    ]
    lines += [Text(f"warning: {warning}", "yellow") for warning in status.warnings + status.policy_warnings]
    return Group(*lines)
