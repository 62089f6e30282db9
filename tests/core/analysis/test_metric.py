"""Is a plan sound? Every flaw of one is told at once, and probabilities are shared out exactly."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.analysis.metric import Plan, Threshold, check_plan, split
from lockgate.core.analysis.number import Number
from lockgate.errors import DeniedError
from lockgate.formats import plain
from lockgate.formats.names import Name
from tests.simulated import ERRORS, LATENCY

HALF = replace(ERRORS.bounds, alpha=Number("0.005"))
FEW = replace(ERRORS, bounds=HALF, acceptable=Number("0.001"))
SLOW = replace(LATENCY, bounds=HALF)
LIMIT = Threshold(Name("limit"), ">", Number("0.05"), 50, 0, 4, 12, dry_run=False)
PLAN = Plan((FEW, SLOW, LIMIT))


def test_a_sound_plan_is_taken():
    check_plan(PLAN)
    check_plan(Plan((LIMIT,)))
    check_plan(Plan((FEW, SLOW, replace(ERRORS, name=Name("more"), dry_run=True))))
    check_plan(Plan((FEW, replace(LIMIT, fails="<=", failure_limit=0, consecutive_error_limit=0))))


def bounds(metric, **spoilt):
    return replace(metric, bounds=replace(metric.bounds, **{name: Number(text) for name, text in spoilt.items()}))


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ((), "one at least"),
        ((replace(LIMIT, dry_run=True),), "one at least"),
        (tuple(replace(LIMIT, name=Name(f"m{number}")) for number in range(33)), "at most 32"),
        ((LIMIT, LIMIT), "limit is named 2 times"),
        ((bounds(FEW, alpha="0.005000000001"), SLOW), "the alphas add up to 0.01, more than 0.01"),
        ((bounds(FEW, alpha="0"),), "alpha is 0"),
        ((bounds(FEW, alpha="0.0101"),), "the alphas add up to 0.0101"),
        ((LIMIT, replace(bounds(FEW, alpha="1"), dry_run=True)), "alpha is 1, not between"),
        ((bounds(SLOW, beta="0"),), "beta is 0"),
        ((bounds(SLOW, beta="0.51"),), "beta is 0.51"),
        ((bounds(SLOW, margin="0.99"),), "margin is 0.99"),
        ((bounds(SLOW, margin="10.1", tolerance="11"),), "margin is 10.1"),
        ((bounds(SLOW, margin="2", tolerance="2.0"),), "tolerance is 2.0"),
        ((bounds(SLOW, tolerance="100.1"),), "tolerance is 100.1"),
        ((replace(FEW, acceptable=Number("0")),), "acceptable is 0"),
        ((replace(FEW, acceptable=Number("1")),), "acceptable is 1"),
        ((replace(FEW, consecutive_missing=0),), "consecutive_missing is 0"),
        ((replace(SLOW, consecutive_missing=1_000_001),), "consecutive_missing is 1000001"),
        ((replace(SLOW, quantiles=()),), "quantiles are 1 to 8"),
        ((replace(SLOW, quantiles=tuple(Number(f"0.{n}") for n in range(1, 10))),), "quantiles are 1 to 8"),
        ((replace(SLOW, quantiles=(Number("0.5"), Number("0.50"))),), "each above the one before"),
        ((replace(SLOW, quantiles=(Number("0.9"), Number("0.5"))),), "each above the one before"),
        ((replace(SLOW, quantiles=(Number("0"), Number("0.5"))),), "between 0 and 1"),
        ((replace(SLOW, quantiles=(Number("0.5"), Number("1"))),), "between 0 and 1"),
        ((replace(SLOW, quantiles=(Number("0.91"),)),), "never be said"),
        ((replace(LIMIT, min_requests=0),), "min_requests is 0"),
        ((replace(LIMIT, failure_limit=-1),), "failure_limit is -1"),
        ((replace(LIMIT, consecutive_error_limit=-1),), "consecutive_error_limit is -1"),
        ((replace(LIMIT, consecutive_missing=0),), "consecutive_missing is 0"),
    ],
)
def test_a_flaw_is_told(metrics, reason):
    with pytest.raises(DeniedError, match=reason) as raised:
        check_plan(Plan(metrics))

    assert len(raised.value.reasons) == 1


def test_all_flaws_are_told_at_once():
    with pytest.raises(DeniedError) as raised:
        check_plan(Plan((bounds(FEW, alpha="0", beta="0"), replace(LIMIT, failure_limit=-1, min_requests=0))))

    assert len(raised.value.reasons) == 4


def test_a_plan_is_the_same_after_it_was_written_and_read():
    assert plain.decode(Plan, plain.encode(PLAN)) == PLAN


@given(st.lists(st.integers(1, 100), min_size=1, max_size=12))
def test_shares_never_add_up_to_more(parts):
    shares = split(Number("0.01"), parts)

    assert Fraction("0.01") - len(parts) * Fraction("1e-12") < sum(share.exact for share in shares) <= Fraction("0.01")


def test_shares_are_decimal_text():
    assert split(Number("0.01"), (4, 3, 3)) == (Number("0.004"), Number("0.003"), Number("0.003"))
    assert split(Number("0.01"), (1, 1, 1))[0] == Number("0.003333333333")
    assert split(Number("2"), (1,)) == (Number("2"),)


@pytest.mark.parametrize("parts", [(), (1, 0), (2, -1)])
def test_nothing_is_shared_out_to_nobody(parts):
    with pytest.raises(DeniedError, match="more than none"):
        split(Number("0.01"), parts)
