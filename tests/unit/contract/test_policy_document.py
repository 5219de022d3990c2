from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import yaml

from contract.policy import Cluster, Policy, Tier, fingerprint
from contract.policy_check import LIST_MAX, fault_of
from contract.policy_document import PolicyInvalid, parse
from tests.unit.contract.policy_texts import GOOD


def test_units_and_defaults() -> None:
    policy = parse(GOOD + "node_lease: 500ms\npayload_max: 64KiB\nbackoff: 1m\n")
    assert policy.tiers["free"].slo_ms == 3_600_000
    assert (policy.node_lease_ms, policy.payload_bytes_max, policy.backoff_ms) == (500, 65536, 60_000)
    assert policy.failures_max == 4


def test_fingerprint_is_of_the_meaning_not_the_spelling() -> None:
    same = GOOD.replace("  api: {slo: 30s}\n  free: {slo: 1h}", "  free: {slo: 60m}\n  api: {slo: 30000ms}")
    assert fingerprint(parse(GOOD)) == fingerprint(parse(same))
    assert fingerprint(parse(GOOD)) != fingerprint(parse(GOOD.replace("limit: 4", "limit: 5")))


def test_lists_of_names_mean_the_same_in_any_order() -> None:
    one, other = (
        parse(f"{GOOD}revoked: [{names}]\nnetworks: []\n") for names in ("operator.b, node.e/n", "node.e/n, operator.b")
    )
    assert one.revoked == ("node.e/n", "operator.b")
    assert fingerprint(one) == fingerprint(other)
    unsorted = msgspec.structs.replace(one, revoked=("operator.b", "node.e/n"))
    fault = fault_of(unsorted)
    assert fault is not None
    assert fault.text == "revoked: expected the names in alphabetical order, found another order"


def test_lists_of_names_have_an_end() -> None:
    names = [f"operator.{number:04}" for number in range(LIST_MAX + 1)]
    assert parse(f"{GOOD}revoked: {names[1:]}\n").revoked == tuple(names[1:])
    with pytest.raises(PolicyInvalid, match="line 8: revoked: expected at most 1,000 names, found 1,001"):
        parse(f"{GOOD}revoked: {names}\n")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("api: {slo: 30s}", "api: {slo: 0s}"), "line 2: slo: expected more than zero"),
        (("limit: 4", "limit: 0"), "line 7: limit: expected a whole number of at least 1, found '0'"),
        (("api: {slo: 30s}", "api: {slo: 30s, width: 2}"), "line 2: unknown field 'width' in tier 'api'"),
        (("api: {slo: 30s}", "api: {slo: 30s, weight: 0}"), "line 2: weight: expected a whole number of at least 1"),
        ((GOOD, GOOD + "discipline: luck\n"), "line 8: discipline: expected one of promise, "),
        ((GOOD, GOOD + "promise_max: 0\n"), "line 8: promise_max: expected a whole number of at least 1"),
        ((GOOD, GOOD + "tenant_weights: {acme: 0}\n"), "line 8: acme: expected a whole number of at least 1"),
        ((GOOD, GOOD + "tenant_weights: 3\n"), "line 8: expected tenant_weights as a mapping"),
        (("tiers:", "colour: red\ntiers:"), "line 1: unknown field 'colour' in the policy document"),
        (("pool: main", "pool: other"), "line 7: cluster 'local' is in pool 'other', which is not one of main"),
        (("  main: {partition: 0}", "  main: {partition: 0}\n  two: {partition: 0}"), "line 6: pools 'main' and 'two'"),
        (("api: {slo: 30s}", "Api: {slo: 30s}"), "line 2: expected a tier name"),
        (("api: {slo: 30s}", "free: {slo: 30s}"), "line 3: 'free' is given twice"),
        (("api: {slo: 30s}", "api: {}"), "line 2: expected 'slo' in tier 'api'"),
        (("clusters:\n  local: {pool: main, limit: 4}\n", ""), "expected a field 'clusters'"),
        (("30s", "soon"), "line 2: slo: expected more than zero, written like '30s' or '1h30m', found 'soon'"),
        (("{slo: 30s}", "[1"), "expected YAML"),
        ((GOOD, "just words"), "line 1: expected the policy document as a mapping"),
        ((GOOD, ""), "line 1: expected the policy document"),
        (("30s", "-30s"), "line 2: slo: expected more than zero, written like '30s' or '1h30m', found '-30s'"),
        (("30s", "\uff13s"), "line 2: slo: expected more than zero, written like '30s' or '1h30m', found"),
        (("30s", "9" * 25 + "d"), "line 2: slo: expected at most 3650d, found '999"),
        (
            ("30s", "[30s]"),
            "line 2: slo: expected more than zero, written like '30s' or '1h30m', found 'a list or mapping'",
        ),
        (("limit: 4", "limit: -1"), "line 7: limit: expected a whole number of at least 1, found '-1'"),
        (("limit: 4", "limit: 9999999999"), "line 7: limit: expected a whole number of at most 999,999,999"),
        (("partition: 0", "partition: 1000"), "line 5: partition: expected a whole number of at most 999"),
        ((GOOD, GOOD + "payload_max: 2MiB\n"), "line 8: payload_max: expected at most 1984KiB, found '2MiB'"),
        ((GOOD, GOOD + "tenant_weights: {limit: none}\n"), "line 8: limit: expected a whole number of at least 1"),
        ((GOOD, GOOD + "tenant_weights: {acme: 1001}\n"), "line 8: acme: expected a whole number of at most 1,000"),
        ((GOOD, GOOD + "tenant_weights: {Acme: 2}\n"), "line 8: expected a tenant name"),
        ((GOOD, GOOD + "tiers: {api: {slo: 1s}}\n"), "line 8: 'tiers' is given twice in the policy document"),
        (("limit: 4}", "limit: 4}\n  local: {pool: main, limit: 2}"), "line 8: 'local' is given twice"),
        (("  api:", "\tapi:"), "line 2: expected YAML; found character '\\t' that cannot start any token"),
        ((GOOD, GOOD + "? [a]\n: 1\n"), "line 8: expected a name before the ':' in the policy document, found a list"),
        ((GOOD, GOOD + "\0"), "line 8: expected YAML, found the character '\\x00'"),
        ((GOOD, "[" * 5_000), "line 1: expected a policy document, found lists or mappings nested too deep to read"),
        ((GOOD, f"{GOOD}---\n{GOOD}"), "line 8: expected YAML; but found another document"),
        (("free: {slo: 1h}", "free: *slow"), "line 3: expected YAML; found undefined alias 'slow'"),
        ((GOOD, GOOD + "backoff: 10s\nbackoff_max: 5s\n"), "line 9: backoff_max must not be less"),
        ((GOOD, GOOD + "wheels_from_index: perhaps\n"), "line 8: wheels_from_index: expected true or false"),
        ((GOOD, GOOD + "isolation: none\n"), "line 8: isolation: expected one of version, tenant, job, found 'none'"),
        ((GOOD, GOOD + "join_tokens: 1\n"), "line 8: join_tokens: expected true or false"),
        ((GOOD, GOOD + "revoked: operator.ada\n"), "line 8: revoked: expected a list of names"),
        ((GOOD, GOOD + "networks: {shapes: 1}\n"), "line 8: networks: expected a list of names"),
        ((GOOD, GOOD + "networks: [Shapes]\n"), "line 8: networks: expected a model name"),
        ((GOOD, GOOD + "networks: [[shapes]]\n"), "line 8: networks: expected a model name"),
        ((GOOD, GOOD + "networks: [shapes, shapes]\n"), "line 8: networks: expected each name once, found one again"),
        ((GOOD, GOOD + "revoked: [api]\n"), "line 8: revoked: expected an operator or a node, like operator.NAME"),
        ((GOOD, GOOD + "revoked: [node.east.n1]\n"), "found 'node.east.n1'; the key of another signer is replaced"),
        ((GOOD, "tiers: {}\n" + GOOD.split("pools:")[0].replace("tiers:", "x:") + "pools: {}\n"), "at least one tier"),
    ],
)
def test_a_fault_names_its_line(change: tuple[str, str], says: str) -> None:
    with pytest.raises(PolicyInvalid) as fault:
        parse(GOOD.replace(*change))
    assert says in str(fault.value)


def test_every_example_policy_is_valid() -> None:
    examples = sorted((Path(__file__).parents[3] / "examples" / "policies").glob("*.yaml"))
    assert examples
    for example in examples:
        parse(example.read_text())


def test_the_example_of_every_field_has_them_all_at_their_defaults() -> None:
    text = (Path(__file__).parents[3] / "examples" / "policies" / "every-field.yaml").read_text()
    given, policy = yaml.safe_load(text), parse(text)
    for kind, members in ((Policy, [given]), (Tier, given["tiers"].values()), (Cluster, given["clusters"].values())):
        for member in members:
            assert len(member) == len(msgspec.structs.fields(kind)), f"every field of {kind.__name__}, and no other"
    plain = parse(json.dumps({name: given[name] for name in ("tiers", "pools", "clusters")}))
    assert policy == msgspec.structs.replace(plain, tenant_weights={"acme": 1})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("discipline: strict\n", "line 8: strict lets jobs wait for ever under overload"),
        ("discipline: shortest_first\n", "line 8: shortest_first lets jobs wait for ever"),
        (
            "discipline: wait_fraction\n",
            "line 8: wait_fraction lets jobs of tier 'free' wait for ever while the tiers above bring more than 1.009"
            " times what the slots take; choose another discipline, or say may_starve: true",
        ),
    ],
)
def test_a_policy_that_would_starve_a_tier_is_refused_unless_it_says_so(more: str, words: str) -> None:
    with pytest.raises(PolicyInvalid, match=words):
        parse(GOOD + more)
    assert parse(GOOD + more + "may_starve: true\n").may_starve


@pytest.mark.parametrize(
    ("discipline", "tiers"), [("strict", "{api: {slo: 30s}}"), ("wait_fraction", "{a: {slo: 30s}, b: {slo: 30s}}")]
)
def test_a_policy_in_which_no_tier_can_starve_another_is_accepted(discipline: str, tiers: str) -> None:
    document = GOOD.replace("\n  api: {slo: 30s}\n  free: {slo: 1h}", f" {tiers}")
    assert parse(document + f"discipline: {discipline}\n").discipline == discipline


def test_a_document_may_begin_with_a_byte_order_mark_and_end_lines_as_windows_does() -> None:
    assert parse("\ufeff" + GOOD.replace("\n", "\r\n")) == parse(GOOD)


@pytest.mark.parametrize(
    ("written", "ms"),
    [("1h30m", 5_400_000), ("1d", 86_400_000), ("2m30s500ms", 150_500), ("500ms", 500), ("90m", 5_400_000)],
)
def test_a_duration_may_have_several_units(written: str, ms: int) -> None:
    assert parse(GOOD.replace("1h", written)).tiers["free"].slo_ms == ms


@pytest.mark.parametrize("written", ["30m1h", "1h1h", "1.5h", "1h 30m", "h", "1", "1h30", "0h0m"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(PolicyInvalid, match="line 3: slo: expected more than zero, written like '30s' or '1h30m'"):
        parse(GOOD.replace("1h", written))


MERGED = """\
x-limits: &limits {limit: 4, staged_per_slot: 2}
x-place: &place {<<: *limits, pool: main, limit: 9}
tiers:
  api: &fast {slo: 30s, weight: 4}
  free: {<<: *fast, slo: 1h}
pools:
  main: {partition: 0}
clusters:
  local: {limit: 5, <<: [*place, *limits]}
  other: *place
"""


def test_merge_keys_mean_what_yaml_says() -> None:
    policy = parse(MERGED)
    said = {name: value for name, value in yaml.safe_load(MERGED).items() if not name.startswith("x-")}
    assert said["clusters"] == {
        "local": {"pool": "main", "limit": 5, "staged_per_slot": 2},
        "other": {"pool": "main", "limit": 9, "staged_per_slot": 2},
    }
    assert policy == parse(json.dumps(said)), "PyYAML's own merge, given to us as JSON"
    assert (policy.tiers["free"].slo_ms, policy.tiers["free"].weight) == (3_600_000, 4)


def test_a_fault_of_a_merged_field_names_the_line_where_the_field_stands() -> None:
    with pytest.raises(PolicyInvalid, match="line 1: staged_per_slot: expected a whole number"):
        parse(MERGED.replace("staged_per_slot: 2", "staged_per_slot: two"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("<<: *fast", "<<: 3"), "line 5: expected a mapping, or a list of mappings, after '<<:'"),
        (
            ("&place {<<: *limits", "&place {<<: *place"),
            "line 2: expected a mapping after '<<:', found one that merges",
        ),
        (("<<: *fast", '"<<": *fast'), "line 5: unknown field '<<' in tier 'free'"),
        (("x-limits", "limits"), "line 1: unknown field 'limits' in the policy document"),
    ],
)
def test_a_merge_key_without_a_mapping_is_refused(change: tuple[str, str], says: str) -> None:
    with pytest.raises(PolicyInvalid, match=says):
        parse(MERGED.replace(*change))


def test_a_few_merge_keys_cannot_make_more_fields_than_a_machine_holds() -> None:
    rows = [f"x-0: &a0 {{{', '.join(f'f{n}: 1' for n in range(500))}}}"]
    rows += [f"x-{n}: &a{n} {{g{n}: 1, <<: [{', '.join([f'*a{n - 1}'] * 90)}]}}" for n in range(1, 12)]
    with pytest.raises(PolicyInvalid, match="expected '<<:' to add at most 100,000 fields"):
        parse("\n".join(rows) + "\n" + GOOD.replace("{slo: 30s}", "{slo: 30s, <<: *a11}"))


def test_merge_keys_in_a_chain_too_long_to_follow_are_refused() -> None:
    rows = ["x-0: &a0 {g0: 1}", *(f"x-{n}: &a{n} {{<<: *a{n - 1}}}" for n in range(1, 2_000))]
    with pytest.raises(PolicyInvalid, match="nested too deep"):
        parse("\n".join(rows) + "\n" + GOOD.replace("{slo: 30s}", "{slo: 30s, <<: *a1999}"))


@pytest.mark.parametrize("other", ["lo_cal", "lo.cal"])
def test_two_clusters_whose_names_make_one_topic_are_refused(other: str) -> None:
    name = {"lo_cal": "lo.cal", "lo.cal": "lo_cal"}[other]
    document = GOOD.replace("  local:", f"  {other}: {{pool: main, limit: 1}}\n  {name}:")
    with pytest.raises(PolicyInvalid, match=f"line 8: clusters '{other}' and '{name}' differ only in"):
        parse(document)
