"""`headrace up`, `down`, `status` and `doctor`: the embedded stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli import output
from cli.connection import DATA_DEFAULT, Data
from cli.errors import WrongUse
from cli.output import Format, Output
from contract.bounds import SLOTS_MAX
from contract.names import is_name
from local import stack
from local.display import render
from local.options import CLUSTER, Options
from local.ports import HOST

_ANSWERS = ("ready", "degraded")
"""The states of a stack in which its servers can be asked."""

Port = Annotated[int, typer.Option(min=0, max=65_535, help="0: the last one, else a free one.")]


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return when all is ready. The stack runs on.")] = False,
    slots: Annotated[int, typer.Option(min=1, max=SLOTS_MAX, help="Slots of each node.")] = 2,
    nodes: Annotated[int, typer.Option(min=0, help="Nodes on this machine.")] = 1,
    cluster: Annotated[str, typer.Option(help="The cluster that the nodes join.")] = CLUSTER,
    cpu_workers: Annotated[
        int, typer.Option(min=0, max=64, help="CPU workers for each cluster of kind `prepare` of the first policy.")
    ] = 1,
    policy: Annotated[Path | None, typer.Option(help="The first policy of new data.")] = None,
    api_port: Port = 0,
    kafka_port: Port = 0,
    s3_port: Port = 0,
    data: Data = DATA_DEFAULT,
) -> None:
    """Start Kafka, Postgres, S3, scheduler, intake, projector, relay, API and nodes, supervised."""
    if not is_name(cluster):
        raise WrongUse(
            f"--cluster: expected a name of lower case letters, digits, '.', '_', '-', found {cluster[:80]!r}"
        )
    options = Options(
        data=data,
        api_port=api_port,
        kafka_port=kafka_port,
        s3_port=s3_port,
        nodes=nodes,
        slots=slots,
        cluster=cluster,
        cpu_workers=cpu_workers,
        policy=policy,
    )
    status = stack.up(options, detach=detach, console=output.out)
    if detach:
        output.out.print(render(status), soft_wrap=True)


def down(data: Data = DATA_DEFAULT) -> None:
    """Stop the stack; its data stays."""
    with output.err.status("stopping…"):
        ran = stack.down(data)
    output.err.print(f"stopped; its data stays in {data.absolute()}" if ran else f"no stack runs on {data.absolute()}")


def status(data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """What runs, on which ports, and what is wrong. Exit 1 when a part does not run."""
    from cli import troubles  # here and below: `up` and `down` do not wait for the imports that ask Kafka

    found = stack.status(data)
    schedulers = [
        f"http://{HOST}:{part.port}/metrics" for part in found.parts if part.name == "scheduler" and part.port
    ]
    more = None
    if found.state in _ANSWERS:
        more = troubles.find_troubles(stack.settings(data), schedulers)
        found.policy_warnings = []  # of the first policy; `more` has those of the policies in force
    if form is Format.JSON:
        output.as_json({**msgspec.to_builtins(found), **(msgspec.to_builtins(more) if more else {})})
    else:
        output.out.print(render(found), soft_wrap=True)
        for line in troubles.describe(more) if more else ():
            output.out.print(line, soft_wrap=True)
    if found.state != "ready":
        raise typer.Exit(1)


def doctor(data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """What this machine has, what it lacks, and what to do. Exit 1 when something is missing."""
    from cli.doctor import examine

    findings = examine(data)
    if form is Format.JSON:
        output.as_json(findings)
    else:
        output.table(
            ["", "what", "found", "what to do"],
            [(output.mark(f.good, suspect=f.suspect), f.what, f.found, f.todo) for f in findings],
            empty="nothing was examined",
        )
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)
