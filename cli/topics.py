"""`headrace topics …`: what each role may do with the topics, by the brokers' access rules; and as whom it asks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from confluent_kafka import KafkaError, KafkaException

from cli import output
from cli.connection import DATA_DEFAULT, Data, elsewhere, settings
from cli.errors import CommandFailed, WrongUse
from cli.files import policy_in
from cli.output import Format, Output
from contract.access import PRINCIPAL_PREFIX, access_rules, principal_of
from contract.policy import Policy
from local import stack
from local.kafka_server import ADMIN
from runtime.kafka_access import AccessChange, apply_access
from runtime.settings import variable_of

app = typer.Typer(no_args_is_help=True, help="Access rules (ACLs) of the brokers.")

PolicyFile = Annotated[Path, typer.Argument(metavar="FILE", help="The YAML policy document; it names the clusters.")]
Prefix = Annotated[str, typer.Option(help="What the names of the principals begin with.", show_default=True)]
Apply = Annotated[bool, typer.Option("--apply", help="Have the brokers keep the rules.")]


@app.command("acls")
def acls(
    file: PolicyFile,
    data: Data = DATA_DEFAULT,
    apply: Apply = False,
    prefix: Prefix = PRINCIPAL_PREFIX,
    form: Output = Format.TABLE,
) -> None:
    """What each role may do; with --apply, have the brokers keep exactly that for the principals with this prefix.

    Rules of other principals stay as they are. To apply them again changes nothing. It takes a principal that may alter
    the cluster, which no role of the table may. In an embedded stack the nodes of clusters that FILE does not name lose
    their user too."""
    policy = policy_in(file)
    rules = access_rules(policy)
    if apply:
        return _apply(data, policy, prefix, form)
    rows = [
        (principal_of(rule.role, prefix), rule.resource, rule.name + "*" * rule.prefixed, rule.operation)
        for rule in rules
    ]
    if form is Format.JSON:
        names = ("principal", "resource", "name", "operation")
        return output.as_json({"rules": [dict(zip(names, row, strict=True)) for row in rows]})
    output.table(["principal", "resource", "name", "may"], rows, empty="no rule")


@app.command()
def login(
    role: Annotated[str, typer.Argument(help="producer, auditor, operator, node.CLUSTER…")],
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Print the settings with which this role speaks to the broker of the embedded stack. They are secret."""
    if elsewhere():
        raise WrongUse(
            "expected the embedded stack of --data, found an installation that the environment names: whoever runs its"
            " brokers makes their users"
        )
    here = settings(data)
    shown = stack.brokers(data, role).credentials
    made = {
        variable_of(name): value
        for name, value in (
            ("kafka", here.kafka),
            ("kafka_security", shown.security),
            ("kafka_mechanism", shown.mechanism),
            ("kafka_user", shown.user),
            ("kafka_password", shown.password),
        )
    }
    if form is Format.JSON:
        return output.as_json(made)
    output.err.print(
        "for a process of this role alone: whoever has it may do what the role may (`headrace topics acls`)"
    )
    for name, value in made.items():
        print(f"{name}={value}")


def _changed(data: Path, policy: Policy, prefix: str) -> AccessChange:
    if elsewhere():
        return apply_access(settings(data).brokers, access_rules(policy), prefix)
    if prefix == PRINCIPAL_PREFIX:
        return stack.keep_only(data, policy.clusters)
    return apply_access(stack.brokers(data, ADMIN), access_rules(policy), prefix)


def _apply(data: Path, policy: Policy, prefix: str, form: Format) -> None:
    try:
        done = _changed(data, policy, prefix)
    except KafkaException as error:
        said = error.args[0]
        if said.code() == KafkaError.SECURITY_DISABLED:
            raise CommandFailed(
                "expected brokers with an authorizer, found none; set"
                " authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer for every broker"
            ) from None
        if said.code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            raise CommandFailed(
                "expected HEADRACE_KAFKA_USER to be one that may alter the cluster, found one that may not; use a super"
                " user of the brokers for this command"
            ) from None
        raise
    if form is Format.JSON:
        return output.as_json({"added": list(done.added), "removed": list(done.removed)})
    for sign, lines in (("+", done.added), ("-", done.removed)):
        for line in lines:
            output.out.print(f"{sign} {line}", soft_wrap=True, markup=False)
    output.out.print(
        f"{len(done.added)} rules added, {len(done.removed)} removed, of {len(access_rules(policy))} in the table"
    )
