"""Can a result be moved, picked, or counted twice? Each test spoils one thing about a trial that was good."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.evidence import Verdict
from lockgate.core.measure import Measure
from lockgate.formats import dsse
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Version
from tests.core.dossiers import AT, FINISHED, MINUTE, TICK, denied
from tests.core.trials import (
    BEGUN,
    CONTENT,
    NUMBER,
    OTHER,
    TRIAL,
    WANTED,
    complete,
    demanding,
    permitted,
    probed,
    scanned,
    second,
    shown,
)

DAY = timedelta(days=1)
NOBODY = Digest.of(b"")
BEFORE = replace(TRIAL, number=NUMBER - 1, begun_at=BEGUN - MINUTE)
LATER = replace(TRIAL, number=NUMBER + 1, begun_at=BEGUN + TICK)
MEASURES = {"security-injection": Measure(60, 60), "utility": Measure(value="0.7")}


def case(*runs, trials=(TRIAL,)):
    return shown(*runs, scanned(), second(), trials=trials)


def refused(reason, found, ruled=None):
    return denied(reason, found, ruled=ruled or demanding())


def measured(**measures):
    return complete(measures=MEASURES | {name.replace("_", "-"): measure for name, measure in measures.items()})


def test_a_result_that_shows_everything_is_permitted_and_its_trials_are_in_the_permit():
    assert permitted().trials == (TRIAL,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trial": None}, "the newest result is of no trial that was written down before it began"),
        ({"trial": NUMBER - 1}, "the newest result is of trial 4, which the log does not hold for this release"),
        ({"trial": -1}, "of trial -1, which the log does not hold"),
        ({"log": None}, "is of a trial of the log 'None', this is prod.example/changes"),
        ({"log": "dev.example/changes"}, "is of a trial of the log 'dev.example/changes', this is prod"),
        ({"suite_digest": None}, "had the content None, which is not one that the policy lists"),
        ({"suite_digest": OTHER}, f"had the content {OTHER}, which is not one that the policy lists"),
        ({"suite_version": "2.0.0"}, "was version '2.0.0', not >=1.0.0 <2.0.0"),
        ({"suite_version": "0.9.9"}, "was version '0.9.9', not >=1.0.0 <2.0.0"),
        ({"suite_version": "1.0"}, "was version '1.0', not >=1.0.0 <2.0.0"),
        ({"suite_version": "1.0.1"}, "trial 5 of suite file-types is of version 1.0.0 .* its result of '1.0.1'"),
        ({"policy": None}, "trial 5 of suite file-types was begun under policy .*, its result says None"),
        ({"policy": NOBODY}, "was begun under policy .*, its result says sha256:e3b0"),
        ({"started_at": None}, "trial 5 of suite file-types started at None, not after it was written down"),
        ({"started_at": BEGUN - TICK}, "started at .* not after it was written down at "),
        ({"isolation": None}, "suite file-types ran without namespaces, seccomp"),
        ({"isolation": ()}, "suite file-types ran without namespaces, seccomp"),
        ({"isolation": ("namespaces", "limits", "cgroup")}, "suite file-types ran without seccomp"),
        ({"served": None}, "the server that was tested has not proved that it had this release"),
        ({"result": Verdict.FAILED}, "suite file-types FAILED, it must have PASSED"),
        ({"result": Verdict.WARNED}, "suite file-types WARNED, it must have PASSED"),
        ({"measures": None}, "security-injection is 'None', at least 0.9 is wanted"),
        ({"measures": {}}, "utility was not measured, at least 0.5 is wanted"),
    ],
)
def test_one_thing_that_a_run_does_not_show_is_enough(changes, reason):
    refused(reason, complete(**changes))


@pytest.mark.parametrize(
    ("measures", "reasons"),
    [
        ({"security_injection": Measure(59, 60)}, ["is 59 of 60, which shows 0.911448"]),
        ({"security_injection": Measure(57, 60)}, ["is 57 of 60, which shows 0.862994, at least 0.92 is wanted"]),
        ({"security_injection": Measure(49, 49)}, ["counts 49 samples, at least 50 are wanted"]),
        ({"security_injection": Measure(9, 9)}, ["is 9 of 9, which shows 0.700854", "counts 9 samples"]),
        ({"security_injection": Measure(value="1")}, ["counts 0 samples, at least 50 are wanted"]),
        ({"utility": Measure(value="0.49")}, ["utility is 0.49, at least 0.5 is wanted"]),
        ({"utility": Measure(6, 10)}, ["utility is 6 of 10, which shows 0.312673, at least 0.5 is wanted"]),
    ],
)
def test_a_measure_that_shows_too_little_is_no_evidence(measures, reasons):
    found = refused("suite file-types", measured(**measures), demanding(strict()))

    assert len(found) == len(reasons)
    assert [reason for reason, one in zip(reasons, found, strict=True) if reason not in one] == []


def strict():
    return replace(WANTED, trials=None, metrics=WANTED.metrics | {"security-injection": "0.92"})


@pytest.mark.parametrize(
    "changes",
    [
        {"started_at": BEGUN + TICK},
        {"isolation": ("seccomp", "namespaces")},
        {"measures": {"security-injection": Measure(50, 50), "utility": Measure(value="0.5")}},
        {"measures": MEASURES | {"another": Measure(0, 10)}},
        {"metrics": {"utility": "0"}},
        {"records": None},
        {"excused": ("pickle",)},
    ],
)
def test_what_shows_just_enough_is_permitted(changes):
    permitted(complete(**changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"number": NUMBER - 1}, "trial 4 of suite file-types is unfinished"),
        ({"suite": "others"}, "trial 5, which the log does not hold for this release"),
        ({"suite_version": Version(1, 0, 1)}, "is of version 1.0.1 with the content .*, its result of '1.0.0'"),
        ({"suite_digest": OTHER}, f"with the content {OTHER}, its result of '1.0.0' with the content {CONTENT}"),
        ({"demands": NOBODY}, "trial 5 of suite file-types was begun under other demands than the policy makes"),
        ({"policy": NOBODY}, "trial 5 of suite file-types was begun under policy sha256:e3b0"),
        ({"begun_at": BEGUN + TICK}, "started at .* not after it was written down"),
    ],
)
def test_one_thing_that_was_not_written_down_is_enough(changes, reason):
    refused(reason, case(probed(), trials=[replace(TRIAL, **changes)]))


@pytest.mark.parametrize(
    "changes", [{"endpoint": Endpoint.parse("prod/other")}, {"by": Name("alice")}, {"begun_at": BEGUN - MINUTE}]
)
def test_who_began_a_trial_and_for_which_endpoint_of_the_same_demands_says_nothing(changes):
    permitted(case(probed(), trials=[replace(TRIAL, **changes)]))


def test_without_the_trial_its_result_counts_for_nothing():
    refused("trial 5, which the log does not hold for this release", case(probed(), trials=()))


def test_a_changed_threshold_does_not_count_for_a_run_of_before():
    lower = replace(WANTED, metrics=WANTED.metrics | {"security-injection": "0.8"})

    refused("trial 5 of suite file-types was begun under other demands", complete(), demanding(lower))


@pytest.mark.parametrize("at", [BEGUN + TICK, FINISHED + MINUTE])
def test_an_unfinished_trial_counts(at):
    found = refused("unfinished", case(probed(), trials=[TRIAL, replace(LATER, begun_at=at)]))

    assert found == ("trial 6 of suite file-types is unfinished",)


def test_one_that_was_left_unfinished_counts_as_a_try():
    permitted(case(probed(), trials=[BEFORE, TRIAL]))

    found = refused("was tried", case(probed(), trials=[replace(BEFORE, number=NUMBER - 2), BEFORE, TRIAL]))
    assert found == ("suite file-types was tried 3 times, at most 2 are allowed, whatever came of them",)


def test_tries_under_other_demands_and_of_other_suites_are_not_counted():
    others = [replace(BEFORE, number=number, demands=NOBODY) for number in range(NUMBER)]

    permitted(case(probed(), trials=[*others, TRIAL]))
    permitted(case(probed(), trials=[TRIAL, replace(LATER, suite="others"), replace(LATER, suite="scan")]))


@pytest.mark.parametrize("finished", [FINISHED - TICK, FINISHED, FINISHED + TICK])
def test_a_failure_of_the_newest_trial_is_not_hidden_by_an_older_one_that_ends_later(finished):
    failed = probed(trial=LATER.number, result=Verdict.FAILED, finished_at=finished, started_at=BEGUN + TICK)

    refused("FAILED|of trial 5, not of 6, the newest trial", case(probed(), failed, trials=[TRIAL, LATER]))


@pytest.mark.parametrize("result", [Verdict.PASSED, Verdict.FAILED])
def test_a_trial_has_one_result(result):
    again = probed(result=result, finished_at=FINISHED - TICK)

    found = refused("2 results", case(probed(), again))
    assert found == ("trial 5 of suite file-types has 2 results, not one",)


def test_the_same_statement_twice_is_one():
    found = complete()

    permitted(replace(found, evidence=(*found.evidence, *found.evidence)))


def test_an_envelope_that_was_written_anew_is_no_second_result():
    found = complete()
    (mine,) = (one for one in found.evidence if b"trial" in dsse.parse(one).payload)
    envelope = dsse.parse(mine)
    unnamed = replace(envelope, signatures=tuple(replace(one, key_id="") for one in envelope.signatures))

    permitted(replace(found, evidence=(*found.evidence, unnamed.encode())))
    assert unnamed.encode() != mine


def test_what_happened_in_another_log_is_no_result_of_a_trial_of_this_one():
    foreign = probed(log="dev.example/changes", finished_at=FINISHED - TICK)

    permitted(case(probed(), foreign))
    assert len(refused("trial 5 of suite file-types is unfinished", case(foreign))) == 2


def test_of_two_that_finished_together_both_must_hold():
    worse = probed(measures=MEASURES | {"utility": Measure(value="0.1")})

    for order in ([probed(), worse], [worse, probed()]):
        refused("utility is 0.1, at least 0.5", case(*order))


def test_a_result_is_good_to_the_last_instant():
    begun = replace(TRIAL, begun_at=AT - 31 * DAY)
    old = probed(started_at=AT - 31 * DAY, finished_at=AT - 30 * DAY)

    permitted(complete(finished_at=AT))
    permitted(case(old, trials=[begun]))
    refused("not in the 30 days before", complete(finished_at=AT + TICK))
    refused("not in the 30 days before", case(replace(old, finished_at=AT - 30 * DAY - TICK), trials=[begun]))


def test_a_policy_that_asks_for_no_trial_takes_a_result_without_one():
    asked = replace(WANTED, trials=None)

    permitted(complete(trial=None, log=None, started_at=None, policy=None), demanding(asked))
    permitted(case(probed(), trials=[TRIAL, LATER]), demanding(asked))


@pytest.mark.parametrize(
    ("left_open", "changes"),
    [
        ("digests", {"suite_digest": OTHER}),
        ("versions", {"suite_version": "7.0.0"}),
        ("least", {"measures": {"security-injection": Measure(49, 49), "utility": Measure(value="0.7")}}),
        ("isolation", {"isolation": None}),
        ("served", {"served": None}),
    ],
)
def test_what_the_policy_leaves_open_may_be_anything(left_open, changes):
    asked = replace(WANTED, **{left_open: None}, trials=None)

    permitted(complete(**changes), demanding(asked))
    refused("suite file-types", complete(**changes), demanding(replace(WANTED, trials=None)))
