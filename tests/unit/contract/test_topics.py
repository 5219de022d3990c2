from __future__ import annotations

from contract.policy_document import parse
from contract.topics import topics_for
from tests.unit.contract.policy_texts import GOOD

TWO_POOLS = GOOD.replace("  main: {partition: 0}", "  main: {partition: 0}\n  other: {partition: 2}")


def test_one_partition_a_pool_and_one_dispatch_topic_a_cluster() -> None:
    topics = {topic.name: topic for topic in topics_for(parse(TWO_POOLS))}
    assert topics["jobs"].partitions == topics["ledger"].partitions == 3
    assert "dispatch.local" in topics


def test_words_leave_every_topic_in_time_and_the_ledger_never_forgets() -> None:
    policy = parse(GOOD + "words_kept: 1h\n")
    for topic in topics_for(policy):
        config = topic.config
        if topic.name == "ledger":
            assert config["retention.ms"] == "-1"
        elif topic.name == "jobs":
            assert config["cleanup.policy"] == "compact,delete"
            assert int(config["segment.ms"]) + int(config["max.compaction.lag.ms"]) <= policy.words_kept_ms
        elif topic.name == "shadow":
            assert set(config) == {"cleanup.policy", "retention.ms", "message.timestamp.type"}  # it holds no words
        else:
            assert 0 < int(config["retention.ms"]) <= policy.words_kept_ms  # -1 would be for ever
        assert config["message.timestamp.type"] == "LogAppendTime"
