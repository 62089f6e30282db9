"""Does nothing that is added or taken away turn a no into a yes, but a newer success and what took it away?

Worlds of a few trials, results and scans are drawn at random, most of them near a good one; the gate judges each, and
then again with one thing more, or one less.
"""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from lockgate.core.evidence import Evidence, Verdict
from lockgate.core.measure import Measure
from lockgate.core.requirement import show, wrong_evaluations, wrong_scans
from lockgate.formats.digest import Digest
from tests.core.dossiers import AT, FINISHED
from tests.core.trials import BEGUN, SCANS, TRIAL, WANTED, demanding, probed, scanned, second
from tests.world import PROD, key, trust

RULES = demanding().endpoints[str(PROD)]
SECONDS = st.integers(0, 3).map(lambda seconds: timedelta(seconds=seconds))
NUMBERS = st.integers(4, 7)
VERDICTS = st.sampled_from([Verdict.PASSED, Verdict.PASSED, Verdict.WARNED, Verdict.FAILED])
UTILITY = st.sampled_from(["0.7", "0.7", "0.1"]).map(lambda text: Measure(value=text))
TRIALS = st.builds(
    lambda number, after, demands: replace(TRIAL, number=number, begun_at=BEGUN + after, demands=demands),
    NUMBERS,
    SECONDS,
    st.sampled_from([WANTED.digest, WANTED.digest, Digest.of(b"others")]),
)
RUNS = st.builds(
    lambda verdict, number, after, utility, log: probed(
        result=verdict, trial=number, started_at=BEGUN + after, finished_at=FINISHED + after, log=log,
        measures={"security-injection": Measure(60, 60), "utility": utility},
    ),
    VERDICTS, NUMBERS, SECONDS, UTILITY, st.sampled_from([trust().origin, trust().origin, "dev.example/changes"]),
)  # fmt: skip
LOOKS = st.builds(
    lambda make, verdict, after: replace(make(), result=verdict, finished_at=FINISHED + after),
    st.sampled_from([scanned, second, lambda: scanned("scan/third")]),
    VERDICTS,
    SECONDS,
)
STATEMENTS = st.lists(RUNS | LOOKS, max_size=4)
GOOD = [probed(), scanned(), second()]
CASES = st.tuples(STATEMENTS, st.lists(TRIALS, max_size=2), st.booleans())


def evidence(runs):
    names = [Digest.of(repr(run).encode()) for run in runs]
    return [Evidence(run, name, key("results").public, name) for run, name in zip(runs, names, strict=True)]


def passes(runs, trials):
    held = {trial.number: trial for trial in trials}  # an entry of the log has one index
    shown = show(evidence(runs), list(held.values()), trust().origin, AT)
    return not [*wrong_scans(RULES, shown), *wrong_evaluations(RULES, shown)]


def told(case):
    runs, trials, good = case
    return (runs + GOOD, [*trials, TRIAL]) if good else (runs, trials)


def is_newer_success(new, runs):
    return new.result is Verdict.PASSED and all(
        new.finished_at > old.finished_at for old in runs if old.suite == new.suite
    )


def test_what_is_good_passes():
    assert passes(GOOD, [TRIAL]) and SCANS.also == ("second",)


@settings(max_examples=4 * settings().max_examples)
@given(CASES, RUNS | LOOKS, st.integers(0, 9))
def test_one_statement_more_opens_nothing_but_by_a_newer_success(case, new, place):
    runs, trials = told(case)

    if not passes(runs, trials) and passes([*runs[:place], new, *runs[place:]], trials):
        assert is_newer_success(new, runs)


@settings(max_examples=4 * settings().max_examples)
@given(CASES, TRIALS)
def test_one_trial_more_opens_nothing_by_itself(case, new):
    runs, trials = told(case)

    if new.number not in {trial.number for trial in trials} and not passes(runs, trials):
        opened = passes(runs, [*trials, new])
        assert not opened or any(run.trial == new.number and run.result is Verdict.PASSED for run in runs)


@settings(max_examples=4 * settings().max_examples)
@given(CASES, st.integers(0, 9))
def test_a_success_that_is_lost_opens_nothing_unless_it_was_one_too_many(case, place):
    runs, trials = told(case)
    if place >= len(runs):
        return
    lost = runs[place]
    left = [*runs[:place], *runs[place + 1 :]]

    if lost.result is Verdict.PASSED and not passes(runs, trials) and passes(left, trials):
        same = [run for run in left if run.suite == lost.suite]
        assert any(run.trial == lost.trial or run.finished_at <= lost.finished_at for run in same)


@settings(max_examples=4 * settings().max_examples)
@given(CASES, st.randoms(use_true_random=False))
def test_the_order_says_nothing(case, random):
    runs, trials = told(case)
    shuffled, mixed = runs[:], trials[:]
    random.shuffle(shuffled)
    if len({trial.number for trial in trials}) == len(trials):
        random.shuffle(mixed)

    assert passes(runs, trials) == passes(shuffled, mixed)


@settings(max_examples=4 * settings().max_examples)
@given(CASES)
def test_what_passes_has_one_passed_result_of_the_newest_trial_and_no_more_trials_than_allowed(case):
    runs, trials = told(case)
    if not passes(runs, trials):
        return
    numbers = {trial.number for trial in trials}
    counted = {trial.number for trial in trials if trial.demands == WANTED.digest}
    here = [
        run
        for run in {repr(run): run for run in runs}.values()
        if run.log == trust().origin and run.suite == WANTED.suite
    ]

    assert [run.result for run in here if run.trial == max(numbers)] == [Verdict.PASSED]
    assert len(counted) <= WANTED.trials and max(numbers) in counted
