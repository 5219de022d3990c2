"""Who sees a model: what is said of a tenant counts before a tier, and a tier before all."""

from __future__ import annotations

import pytest

from registry.audiences import Audience, AudienceRule, Viewer

ACME, OTHER = Viewer("acme", ("free", "gold")), Viewer("other", ("free",))
ALL_OUT = AudienceRule("all", "", False)


@pytest.mark.parametrize(
    ("rules", "acme", "other"),
    [
        ([], True, True),
        ([ALL_OUT], False, False),
        ([ALL_OUT, AudienceRule("tenant", "acme", True)], True, False),
        ([ALL_OUT, AudienceRule("tier", "gold", True)], True, False),
        ([ALL_OUT, AudienceRule("tier", "free", True)], True, True),
        ([AudienceRule("tier", "free", False)], True, False),
        ([AudienceRule("tier", "free", False), AudienceRule("tier", "gold", False)], False, False),
        ([AudienceRule("tenant", "acme", False)], False, True),
        ([AudienceRule("tenant", "acme", False), AudienceRule("tier", "gold", True)], False, True),
        ([ALL_OUT, AudienceRule("tenant", "acme", True), AudienceRule("tier", "gold", False)], True, False),
        ([AudienceRule("all", "", True), AudienceRule("tenant", "other", False)], True, False),
    ],
)
def test_the_most_particular_word_counts(rules: list[AudienceRule], acme: bool, other: bool) -> None:
    for order in (rules, rules[::-1]):
        audience = Audience(tuple(order))
        assert (audience.sees(ACME), audience.sees(OTHER)) == (acme, other)
        assert audience.sees(Viewer("other", (), sees_all=True)), "an operator sees every model"


def test_a_viewer_without_a_tier_is_one_of_all() -> None:
    assert Audience((AudienceRule("tier", "free", False),)).sees(Viewer("acme", ()))
    assert not Audience((ALL_OUT,)).sees(Viewer("acme", ()))


def test_a_tenant_named_like_a_tier_is_a_tenant() -> None:
    assert Audience((AudienceRule("tier", "acme", False),)).sees(ACME)
    assert not Audience((ALL_OUT, AudienceRule("tenant", "gold", True))).sees(ACME)
