"""What each role may do with the topics: what is asked of the table, and that it fits the programs."""

from __future__ import annotations

import pytest

from contract.access import ROLES, AccessRule, access_rules, node_role, principal_of, rules_for_clusters
from contract.policy_document import parse
from contract.topics import JOBS, LEDGER, PROGRESS, QUARANTINE, SHADOW, SUBMISSIONS, dispatch_topic, topics_for
from streams import intake, projector, scheduler
from tests.unit.contract.policy_texts import GOOD

POLICY = parse(
    GOOD.replace("  local: {pool: main, limit: 4}", "  a: {pool: main, limit: 4}\n  b: {pool: main, limit: 4}")
)
RULES = access_rules(POLICY)
TOPICS = [topic.name for topic in topics_for(POLICY)]


def who_may(operation: str, topic: str) -> set[str]:
    return {
        rule.role
        for rule in RULES
        if (rule.resource, rule.operation) == ("topic", operation)
        and (topic.startswith(rule.name) if rule.prefixed else rule.name == topic)
    }


def test_only_schedulers_write_the_ledger_and_give_orders() -> None:
    assert who_may("write", LEDGER) == {"scheduler"}
    assert who_may("write", dispatch_topic("a")) == who_may("write", dispatch_topic("b")) == {"scheduler"}


def test_a_node_writes_its_reports_and_reads_the_orders_of_its_own_cluster() -> None:
    node = node_role("a")
    assert {topic for topic in TOPICS if node in who_may("write", topic)} == {JOBS, PROGRESS}
    assert {topic for topic in TOPICS if node in who_may("read", topic)} == {JOBS, dispatch_topic("a")}


def test_an_auditor_changes_nothing_and_a_producer_has_its_topic_only() -> None:
    assert {rule.operation for rule in RULES if rule.role == "auditor"} == {"read", "describe"}
    assert {rule for rule in RULES if rule.role == "producer" and rule.resource != "transactional_id"} == {
        AccessRule("producer", "topic", SUBMISSIONS, "write")
    }


def test_a_producer_alone_writes_in_transactions() -> None:
    assert {rule.role for rule in RULES if rule.resource == "transactional_id"} == {"producer"}


def test_the_rules_of_clusters_are_those_of_the_policy_that_names_them() -> None:
    assert rules_for_clusters(["b", "a", "b"]) == RULES
    assert set(ROLES) == {rule.role for rule in rules_for_clusters([])}


def test_who_runs_a_shadow_writes_what_it_found_and_reads_no_words() -> None:
    assert {topic for topic in TOPICS if "shadow" in who_may("write", topic)} == {SHADOW}
    assert {topic for topic in TOPICS if "shadow" in who_may("read", topic)} == {LEDGER, SHADOW}


def test_who_reads_what_people_wrote() -> None:
    """`jobs`, `submissions` and `quarantine` hold words of theirs."""
    assert who_may("read", JOBS) == {"scheduler", "operator", "auditor", "node.a", "node.b"}
    assert who_may("read", SUBMISSIONS) == {"intake", "operator"}
    assert who_may("read", QUARANTINE) == {"operator"}


@pytest.mark.parametrize("topic", [t for t in TOPICS if not t.startswith("dispatch.")])
def test_nobody_may_delete_a_topic_that_is_not_of_orders(topic: str) -> None:
    assert who_may("delete", topic) == set()


def test_every_topic_is_made_by_the_operator_and_is_written_and_read_by_somebody() -> None:
    for topic in TOPICS:
        assert who_may("create", topic) == {"operator"}
        assert who_may("write", topic)
        assert who_may("read", topic)


def test_the_groups_are_those_of_the_programs() -> None:
    groups = {(rule.role, rule.name) for rule in RULES if (rule.resource, rule.operation) == ("group", "read")}
    assert groups == {("intake", intake.GROUP), ("scheduler", scheduler.GROUP), ("projector", projector.GROUP)}


def test_a_role_has_a_principal_of_its_own() -> None:
    assert len({principal_of(rule.role) for rule in RULES}) == len({rule.role for rule in RULES})
    assert principal_of(node_role("a")) == "User:headrace-node.a"
