"""Does every rule of rollouts hold something up? All hold together, and without any one the model falls."""

from dataclasses import fields, replace
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from tests.model.rollout_model import KEPT_BY, Rules, State, broken, explore, steps

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs/explanation/rollout-protocol.md"
RULES = [rule.name for rule in fields(Rules)]

FALLS = {  # rule: (length of a shortest way, how it ends, what it breaks)
    "lease_from_state": (5, ["renew", "show"], "served too late"),
    "lease_from_revocations": (9, ["renew", "show"], "served too late"),
    "route_ends_with_lease": (5, ["show", "tick"], "served too late"),
    "gateway_ttl": (5, ["show", "tick"], "served too late"),
    "suspension_ends_rollout": (9, ["renew", "show"], "served too late"),
    "revocation_ends_rollout": (5, ["the other looks"], "promoted though it is revoked"),
    "at_version": (7, ["look", "revoke", "remember", "act"], "promoted though it is revoked"),
    "fence": (8, ["the other remembers and dies", "remember", "act"], "promoted though it failed"),
    "needs_data": (3, ["the other looks"], "promoted without data"),
}

found = cache(explore)


def all_but(*rules):
    return replace(Rules(), **dict.fromkeys(rules, False))


def way(*rules):
    return found(all_but(*rules)).counterexample or []


def test_with_all_rules_nothing_goes_wrong():
    explored = found(Rules())

    assert explored.counterexample is None
    assert explored.states > 10_000


@pytest.mark.parametrize("rule", RULES)
def test_without_any_one_rule_something_goes_wrong(rule):
    length, last, what = FALLS[rule]

    names = [name for name, _ in way(rule)]
    assert (len(names), names[-len(last) :], broken(way(rule)[-1][1])) == (length, last, what)


@pytest.mark.parametrize("rule", RULES)
def test_a_counterexample_can_be_walked_breaks_only_at_its_end_and_is_no_way_with_all_rules(rule):
    before, kept = State(), [State()]
    for name, after in way(rule):
        assert (name, after) in list(steps(before, all_but(rule)))
        assert bool(broken(after)) == (after is way(rule)[-1][1])
        kept = [next_ for state in kept for named, next_ in steps(state, Rules()) if named == name]
        before = after
    assert not [state for state in kept if broken(state)]


def test_no_step_is_taken_twice_by_whoever_is_fenced_or_holds_on_to_what_they_read():
    names = [name for name, _ in way("at_version", "fence")]

    assert names == ["look", "the other looks", "remember", "act"]
    assert broken(way("at_version", "fence")[-1][1]) == "a step was taken twice"


def test_what_keeps_a_rule_exists_and_the_page_names_it():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]

    assert [row.split("`")[1] for row in rows] == RULES == list(KEPT_BY) == list(FALLS)
    for row, (rule, module) in zip(rows, KEPT_BY.items(), strict=True):
        assert f"`{rule}`" in row and f"`{module}`" in row
        import_module(module)
