"""Does every rule of the lease protocol hold something up? All hold together, and without any one the model falls."""

from dataclasses import fields, replace
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from tests.model.lease_model import KEPT_BY, LIMIT, Response, Rules, State, explore, is_broken, search, steps

PAGE = Path(__file__).parents[2] / "docs/explanation/lease-protocol.md"
RULES = [rule.name for rule in fields(Rules)]
RECORDED = ["order", "write", "anchor", "acknowledge"]

FALLS = {  # rule: (length of a shortest way to break the property, how it begins, how it ends)
    "nonce": (12, ["ask", "grant", *RECORDED], ["ask", "accept old"]),
    "from_sending": (11, ["ask", "grant", *RECORDED], ["tick", "tick", "tick", "tick", "accept"]),
    "durable_first": (11, ["order", "acknowledge"], ["crash", "start", "ask", "grant", "accept"]),
    "primary_only": (11, RECORDED, ["ask", "grant from standby", "accept"]),
    "boot_clock": (13, ["ask", "grant", *RECORDED], ["suspend", "tick", "tick", "resume", "accept"]),
    "drift_budget": (11, ["ask", "grant", *RECORDED], ["slow tick", "tick", "tick", "slow tick", "accept"]),
    "cut_off": (12, ["ask", "grant", *RECORDED], ["accept", "begin response", "tick", "tick"]),
    "anchor": (13, ["order", "write", "acknowledge"], ["crash", "restore", "start", "ask", "grant", "accept"]),
    "never_renewed": (
        14,
        ["ask", "grant", "replace"],
        ["ask", "say superseded", "hear superseded", "tick", "slow tick"],
    ),
    "nothing_begins": (8, ["ask", "grant", "replace"], ["say superseded", "hear superseded", "begin response"]),
}
AGAINST = {  # rule: the step that it is there for
    "nonce": "accept old",
    "durable_first": "crash",
    "primary_only": "grant from standby",
    "boot_clock": "suspend",
    "drift_budget": "slow tick",
    "cut_off": "begin response",
    "anchor": "restore",
    "never_renewed": "hear superseded",
    "nothing_begins": "hear superseded",
}


shortest = cache(search)


def all_but(rule):
    return replace(Rules(), **{rule: False})


def names(way):
    return [name for name, _ in way]


def test_with_all_rules_nothing_serves_too_late():
    explored = explore(Rules())

    assert explored.counterexample is None
    assert explored.states > 24_000


def test_every_rule_is_taken_away_once():
    assert FALLS.keys() == KEPT_BY.keys() == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_without_any_one_rule_something_serves_too_late(rule):
    way = shortest(all_but(rule))

    length, first, last = FALLS[rule]
    assert way is not None
    assert (len(way), names(way)[: len(first)], names(way)[-len(last) :]) == (length, first, last)


@pytest.mark.parametrize("rule", RULES)
def test_a_counterexample_can_be_walked_and_breaks_only_at_its_end(rule):
    way = shortest(all_but(rule)) or []

    before = State()
    for name, after in way:
        assert (name, after) in list(steps(before, all_but(rule)))
        before = after
    assert [is_broken(state) for _, state in way] == [False] * (len(way) - 1) + [True]


@pytest.mark.parametrize("rule", RULES)
def test_with_all_rules_the_same_way_cannot_be_walked(rule):
    way = shortest(all_but(rule)) or []

    state: State | None = State()
    for name, _ in way:
        state = dict(steps(state, Rules())).get(name) if state else None
    assert state is None or not is_broken(state)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "step"), AGAINST.items())
def test_a_rule_is_needed_only_for_what_it_is_there_for(rule, step):
    assert explore(all_but(rule), without=step).counterexample is None


def test_a_grant_that_was_held_back_is_fresh_only_to_who_counts_from_its_receipt():
    *_, (_, before), (_, after) = shortest(all_but("from_sending")) or []

    assert before.acknowledged == LIMIT
    assert (before.lease, after.lease) == (None, 0)


def test_a_long_response_outlives_its_lease_only_if_nobody_cuts_it_off():
    *_, (_, last) = shortest(all_but("cut_off")) or []

    assert (last.lease, last.response) == (None, Response.RUNNING)


def test_one_tick_less_is_too_short_so_the_bound_is_no_luck():
    way = explore(Rules(), limit=LIMIT - 1).counterexample

    assert way is not None
    assert way[-1][1].response is Response.LAST_CHUNK


def test_a_host_can_serve_and_go_on_serving_after_the_order():
    way = explore(Rules(), limit=0).counterexample

    assert way is not None
    assert sorted(names(way)) == sorted(["ask", "grant", "accept", *RECORDED])


def test_what_keeps_a_rule_exists_and_the_page_names_it():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]

    assert [row.split("`")[1] for row in rows] == RULES
    for row, (rule, module) in zip(rows, KEPT_BY.items(), strict=True):
        assert f"`{rule}`" in row and f"`{module}`" in row
        import_module(module)
