"""`headrace clusters …`: what runs where; taking a cluster out of work and bringing it back."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import output
from cli.api_client import ApiClient
from cli.connection import DATA_DEFAULT, Data, api, settings
from cli.durations import duration_ms
from cli.errors import CommandFailed, WrongUse
from cli.following import followed, partitions_in_force, report
from cli.output import Format, Output
from contract.inputs import ClusterActivated, ClusterDrainRequested, NodeCordonRequested, NodeUncordonRequested
from registry import operators
from views.actors import to_operator

app = typer.Typer(no_args_is_help=True, help="Clusters and their nodes.")

SOURCE = "//headrace/clusters"

ClusterName = Annotated[str, typer.Argument(metavar="NAME", help="A cluster of the policy in force.")]


@app.command("list")
def list_clusters(data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Every cluster with its load and its limit, and every node."""
    with api(data, operator=True) as client:
        found = client.get("/v1/clusters")
        nodes = client.get("/v1/nodes")["nodes"]
    if form is Format.JSON:
        return output.as_json({**found, "nodes": nodes})
    output.table(
        ["cluster", "pool", "kind", "state", "nodes", "slots", "running", "staged", "limit"],
        [
            (
                c["cluster"],
                c["pool"],
                _kind(c),
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
        ["node", "cluster", "kind", "state", "chipset", "slots", "running", "staged", "loaded", "heard"],
        [
            (
                n["node"],
                n["cluster"],
                _kind(n),
                _node_state(n),
                n["chipset"],
                n["slots"] if n["usable"] == n["slots"] else f"{n['usable']} of {n['slots']}",
                n["running"],
                n["staged"],
                ", ".join(digest[7:19] for digest in n["loaded"]),
                output.moment(n["heard_ms"]),
            )
            for n in nodes
        ],
        empty="no node has joined",
    )


@app.command()
def drain(
    name: ClusterName,
    deadline: Annotated[
        str | None,
        typer.Option(help="After this time (30s, 10m, 2h) running attempts are stopped and start elsewhere."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until nothing runs or is staged there.")] = False,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Take a cluster out of work: it gets nothing new, staged attempts go elsewhere, running attempts may finish."""
    after_ms = duration_ms("--deadline", deadline, least_ms=1) if deadline is not None else 0
    with api(data, operator=True) as client:
        pool, partition, now_ms = _place(client, name)
        deadline_ms = now_ms + after_ms if after_ms else 0
        operators.send(settings(data), ClusterDrainRequested(name, deadline_ms), [partition], SOURCE)
        look = partial(_cluster, client, pool, name)
        seen = followed(
            f"cluster {name}",
            "clusters",
            look,
            lambda it: it.get("state") == "draining" and (it["deadline_ms"] or 0) == deadline_ms,
        )
        if wait:
            seen = followed(name, "clusters", look, lambda it: it.get("running") == it.get("staged") == 0, forever=True)
    what = "drained: nothing runs there" if wait else "drains; `headrace clusters list` shows what still runs"
    report(form, seen, f"{name} of pool {pool} {what}")


@app.command()
def activate(name: ClusterName, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Bring a draining cluster back to work."""
    with api(data, operator=True) as client:
        pool, partition, _ = _place(client, name)
        operators.send(settings(data), ClusterActivated(name), [partition], SOURCE)
        look = partial(_cluster, client, pool, name)
        seen = followed(f"cluster {name}", "clusters", look, lambda it: it.get("state") == "active")
    report(form, seen, f"{name} of pool {pool} takes work")


NodeName = Annotated[str, typer.Argument(metavar="[CLUSTER/]NODE", help="A node of `headrace clusters list`.")]


@app.command()
def cordon(name: NodeName, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Set a node aside, in this session and later ones: it gets nothing new; what runs there may finish."""
    _set_aside(name, NodeCordonRequested, "operator", data, form)


@app.command()
def uncordon(name: NodeName, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Give a cordoned node work again, whatever set it aside."""
    _set_aside(name, NodeUncordonRequested, "", data, form)


def _set_aside(
    name: str,
    record: type[NodeCordonRequested | NodeUncordonRequested],
    expected: str,
    data: Path,
    form: Format,
) -> None:
    with api(data, operator=True) as client:
        node = _node(client, name)
        if node["cordoned"] != expected:
            partition = _partition(client, node["pool"])
            operators.send(settings(data), record(node["node"]), [partition], SOURCE)
        node = followed(f"node {name}", "clusters", lambda: _node(client, name), lambda it: it["cordoned"] == expected)
    what = "is cordoned: it gets nothing new" if expected else "takes work"
    report(form, node, f"{node['node']} of cluster {node['cluster']} {what}")


def _node(client: ApiClient, name: str) -> dict[str, Any]:
    """The node of this name, with or without its cluster before it. Several pools may have a node of one name."""
    nodes: list[dict[str, Any]] = client.get("/v1/nodes")["nodes"]
    named = [node for node in nodes if name in (node["node"], f"{node['cluster']}/{node['node']}")]
    if len(named) == 1:
        return named[0]
    there = ", ".join(sorted(f"{node['cluster']}/{node['node']}" for node in named or nodes)) or "there is none"
    expected = "one node, with its cluster before its name" if named else "a node that has joined"
    raise WrongUse(f"expected {expected} ({there}), found {name[:80]!r}")


def _partition(client: ApiClient, pool: str) -> int:
    partition = partitions_in_force(client.get("/v1/policy")["policies"]).get(pool)
    if partition is None:
        raise CommandFailed(
            f"expected a policy in force in pool {pool}, found none; apply one with `headrace policy apply`"
        )
    return partition


def _node_state(node: dict[str, Any]) -> str:
    """`ready`, or why the node gets nothing new."""
    if node["state"] in ("departed", "lost"):
        return str(node["state"])
    if node["cordoned"]:
        return (
            f"cordoned{_by(node.get('cordoned_by', ''))}"
            if node["cordoned"] == "operator"
            else "suspect: jobs failed there"
        )
    return f"holds off: {node['holding']}" if node["holding"] else str(node["state"])


def _place(client: ApiClient, name: str) -> tuple[str, int, int]:
    """The pool of the cluster, its partition, and the time by the clock of the broker: the clock of this machine
    decides nothing. WrongUse when no policy in force has the cluster."""
    found = client.get("/v1/policy")
    known: list[str] = []
    for entry in found["policies"]:
        policy = entry["policy"]
        names = [cluster for cluster, its in policy["clusters"].items() if its["pool"] == entry["pool"]]
        if name in names:
            at_ms = max(pool["at_ms"] for pool in found["pools"] if pool["pool"] == entry["pool"])
            return entry["pool"], partitions_in_force([entry])[entry["pool"]], at_ms
        known += names
    there = ", ".join(sorted(known)) or "there is none"
    raise WrongUse(f"expected a cluster of the policy in force ({there}), found {name[:80]!r}")


def _cluster(client: ApiClient, pool: str, name: str) -> dict[str, Any]:
    """What the views show of the cluster; empty while they show nothing of it."""
    found: list[dict[str, Any]] = client.get("/v1/clusters")["clusters"]
    return next((cluster for cluster in found if (cluster["pool"], cluster["cluster"]) == (pool, name)), {})


def _state(cluster: dict[str, Any]) -> str:
    if cluster["state"] == "draining":
        until = f" until {output.moment(cluster['deadline_ms'])}" if cluster["deadline_ms"] is not None else ""
        return f"draining{until}{_by(cluster.get('actor', ''))}"
    return "gone" if cluster["state"] == "removed" else str(cluster["state"])


def _kind(found: dict[str, Any]) -> str:
    """What the nodes do. An API of a release before this one has no CPU workers, and says nothing of it."""
    return "CPU worker" if found.get("kind") == "prepare" else "node"


def _by(actor: str) -> str:
    """Which operator asked for it; nothing where nobody signed."""
    return f", by {to_operator(actor)}" if actor else ""


def _limit(limit: int | None, adaptive: bool) -> str:
    """How many attempts a cluster may have staged, in words."""
    return f"{'none' if limit is None else limit}{' (adaptive)' if adaptive else ''}"
