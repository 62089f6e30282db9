"""Is it seen, by who has the whole log, that a decision left something out?"""

from dataclasses import replace

import pytest

from lockgate.core.evidence import Verdict
from lockgate.core.journal import read_fact
from lockgate.core.omission import left_out
from lockgate.core.trial import considered
from tests.core.dossiers import MINUTE
from tests.core.test_journal import A, B, entry
from tests.tried import begin, result_of
from tests.world import World


@pytest.fixture(scope="module")
def entries():
    """Tell of a release that failed once and was tried again, and of another one that came without trials."""
    world = World()
    first = world.register("1.0.0")
    number = begin(world, first)
    world.attest(first, world.built(), result_of(world, first, number, result=Verdict.FAILED))
    world.now += MINUTE
    world.attest(first, result_of(world, first, begin(world, first)))
    world.approve(change := world.open(first))
    world.activate(change)
    world.serve("1.1.0", weights=b"other")
    return list(world.memory.entries(0, world.memory.size()))


def events(entries):
    return [read_fact(one)[1] for one in entries]


def places(entries, kind):
    return [index for index, event in enumerate(events(entries)) if event.type == kind]


def without(entries, *indexes, **changes):
    """Write the log of a server that decided without some entries, though the log holds them."""
    found = list(entries)
    for at in places(entries, "endpoint.activated/v1"):
        event = events(entries)[at]
        told = {i: e for i, e in enumerate(events(entries)[:at]) if i not in indexes}
        about = {i: e for i, e in told.items() if getattr(e, "tag", None) == event.tag}
        held = [e.statement for e in about.values() if e.type == "release.attested/v1"]
        tried = [i for i, e in about.items() if e.type == "trial.begun/v1"]
        found[at] = entry(replace(event, **({"considered": considered(held, tried)} | changes)), at)
    return found


def test_a_log_in_which_everything_was_considered_has_no_omissions(entries):
    assert list(left_out(entries)) == [] == list(left_out(without(entries)))


def test_each_trial_and_each_statement_that_was_left_out_is_named(entries):
    first = places(entries, "endpoint.activated/v1")[0]
    for index in places(entries, "trial.begun/v1"):
        (found,) = left_out(without(entries, index))
        said = f"entry {first} let magika@1.0.0 in at prod/magika, but was decided without trial {index}"
        assert found == said
    for index in places(entries, "release.attested/v1"):
        (found,) = left_out(without(entries, index))
        assert found.endswith(f"but was decided without the statement {events(entries)[index].statement}")


def test_more_than_one_is_more_than_one(entries):
    trial, statement = places(entries, "trial.begun/v1")[0], places(entries, "release.attested/v1")[1]

    (found,) = left_out(without(entries, trial, statement))
    assert found.endswith("on other statements or trials than the log held")


def test_what_came_later_was_not_to_be_considered(entries):
    last = places(entries, "endpoint.activated/v1")[-1]
    held = events(entries)[last]
    moved = [*entries[:last], *entries[last + 1 :]]

    assert list(left_out([*moved, entry(replace(held, considered=A), last)])) != []
    assert list(left_out(entries[:last])) == []


def test_an_activation_that_does_not_say_it_is_one_of_before_trials(entries):
    silent = without(entries, considered=None)

    assert len(list(left_out(silent))) == 2
    old = [one for one in silent if read_fact(one)[1].type != "trial.begun/v1"]
    assert list(left_out(old)) == []
    assert B != A
