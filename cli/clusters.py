"""`headrace clusters …`: what runs where."""

from __future__ import annotations

from typing import Any

import typer

from cli import output
from cli.connection import DATA_DEFAULT, Data, api
from cli.output import Format, Output

app = typer.Typer(no_args_is_help=True, help="Clusters and their nodes.")


@app.command("list")
def list_clusters(data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Every cluster: how full it is, against its limit."""
    with api(data, operator=True) as client:
        found = client.get("/v1/clusters")
        nodes = client.get("/v1/nodes")["nodes"]
    if form is Format.JSON:
        return output.as_json({**found, "nodes": nodes})
    output.table(
        ["cluster", "pool", "state", "nodes", "slots", "running", "in flight", "limit"],
        [
            (
                c["cluster"],
                c["pool"],
                _state(c),
                c["nodes"],
                c["slots"],
                c["running"],
                c["staged"],
                _limit(c["limit"], c["adaptive"]),
            )
            for c in found["clusters"]
        ],
        empty="no cluster; `headrace policy apply FILE` names some",
    )
    output.out.print()
    output.table(
        ["node", "cluster", "state", "chipset", "slots", "running", "staged", "loaded", "heard"],
        [
            (
                n["node"],
                n["cluster"],
                n["state"],
                n["chipset"],
                n["slots"],
                n["running"],
                n["staged"],
                ", ".join(digest[7:19] for digest in n["loaded"]),
                output.moment(n["heard_ms"]),
            )
            for n in nodes
        ],
        empty="no node has joined",
    )


def _state(cluster: dict[str, Any]) -> str:
    if cluster["state"] == "draining" and cluster["deadline_ms"] is not None:
        return f"draining until {output.moment(cluster['deadline_ms'])}"
    return "gone" if cluster["state"] == "removed" else str(cluster["state"])


def _limit(limit: int | None, adaptive: bool) -> str:
    """What a cluster may have in flight."""
    return f"{'none' if limit is None else limit}{' (adaptive)' if adaptive else ''}"
