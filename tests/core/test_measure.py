"""Does a count prove what is asked, exactly, and does a small or an odd one prove nothing?"""

from dataclasses import replace
from decimal import Decimal, getcontext, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.measure import MOST, Measure, bound, check_measure, reaches
from lockgate.errors import VerificationError

COUNTS = st.integers(1, 5000).flatmap(lambda of: st.builds(Measure, st.integers(0, of), st.just(of)))
THRESHOLDS = st.integers(1, 999_999).map(lambda millionths: str(Decimal(millionths).scaleb(-6)))


def wilson(passed, of):
    """Compute the lower bound as the books do, with fifty digits."""
    with localcontext() as context:
        context.prec = 50
        p, n, z = Decimal(passed) / of, Decimal(of), Decimal("1.959964")
        root = (p * (1 - p) / n + z**2 / (4 * n**2)).sqrt()
        return (p + z**2 / (2 * n) - z * root) / (1 + z**2 / n)


@pytest.mark.parametrize(
    ("measure", "threshold", "lower"),
    [
        (Measure(30, 30), "0.886", "0.886486"),
        (Measure(190, 190), "0.980", "0.980182"),
        (Measure(381, 381), "0.99", "0.990018"),
        (Measure(1, 1), "0.2", "0.206549"),
        (Measure(95, 100), "0.88", "0.888249"),
        (Measure(50, 100), "0.4", "0.403831"),
        (Measure(3, 3), "1", "0.438502"),
        (Measure(value="0.95"), "0.950", "0.95"),
        (Measure(value="1e3"), "999.9", "1e3"),
    ],
)
def test_a_measure_shows_what_it_shows(measure, threshold, lower):
    assert reaches(measure, threshold) and bound(measure) == lower


@pytest.mark.parametrize(
    ("measure", "threshold"),
    [
        (Measure(30, 30), "0.887"),
        (Measure(29, 30), "0.886"),
        (Measure(189, 190), "0.98"),
        (Measure(380, 381), "0.99"),
        (Measure(1, 1), "0.21"),
        (Measure(95, 100), "0.95"),
        (Measure(999_999, 1_000_000), "1"),
        (Measure(100, 100), "1.000001"),
        (Measure(100, 100), "2"),
        (Measure(100, 100), "0"),
        (Measure(0, 100), "0"),
        (Measure(0, 100), "0.01"),
        (Measure(100, 100), "-1"),
        (Measure(100, 100), "NaN"),
        (Measure(100, 100), ""),
        (Measure(100, 100), "1e-999999999"),
        (Measure(100, 100), "1e999999999"),
        (Measure(value="1e999999999"), "0.1"),
        (Measure(value="0.9499999"), "0.95"),
        (Measure(value="NaN"), "0.1"),
        (Measure(value="Infinity"), "0.1"),
        (Measure(value="-1"), "0.1"),
        (Measure(value="good"), "0.1"),
        (Measure(value=""), "0.1"),
        (Measure(), "0.1"),
        (Measure(5, None), "0.1"),
        (Measure(None, 5), "0.1"),
    ],
)
def test_a_measure_shows_no_more_than_that(measure, threshold):
    assert not reaches(measure, threshold)


@given(COUNTS, THRESHOLDS)
def test_a_count_is_judged_as_by_the_formula_of_the_books(measure, threshold):
    exact, wanted = wilson(measure.passed, measure.of), Decimal(threshold)

    if abs(exact - wanted) > Decimal("1e-40"):
        assert reaches(measure, threshold) == (exact > wanted)


@given(COUNTS)
def test_the_bound_for_people_is_shown_and_the_next_one_is_not(measure):
    shown, unit = Decimal(bound(measure)), Decimal("0.000001")

    assert shown <= max(wilson(measure.passed, measure.of), 0) < shown + unit
    assert shown == 0 or reaches(measure, str(shown))
    assert not reaches(measure, str(shown + unit))


@given(COUNTS, THRESHOLDS)
def test_one_more_failure_or_one_success_less_never_helps(measure, threshold):
    if not reaches(measure, threshold):
        assert not reaches(replace(measure, of=measure.of + 1), threshold)
        assert measure.passed == 0 or not reaches(replace(measure, passed=measure.passed - 1), threshold)


@given(COUNTS, THRESHOLDS, st.integers(2, 50))
def test_more_of_the_same_proves_more(measure, threshold, times):
    if reaches(measure, threshold):
        assert reaches(Measure(measure.passed * times, measure.of * times), threshold)


@pytest.mark.parametrize("precision", [1, 6, 28])
def test_nobody_rounds(precision):
    with localcontext() as context:
        context.prec = precision
        assert getcontext().prec == precision
        assert bound(Measure(30, 30)) == "0.886486"
        assert not reaches(Measure(value="0.94999999"), "0.95")


@pytest.mark.parametrize(
    "measure", [Measure(0, 1), Measure(1, 1), Measure(MOST, MOST), Measure(value="0"), Measure(value="-3.5")]
)
def test_a_count_or_a_value_is_a_measure(measure):
    check_measure("recall", measure)


@pytest.mark.parametrize(
    ("measure", "reason"),
    [
        (Measure(), "measure 'recall' is not either a count, passed and of, or a value"),
        (Measure(1), "not either"),
        (Measure(of=1), "not either"),
        (Measure(1, 1, "1"), "not either"),
        (Measure(1, None, "1"), "not either"),
        (Measure(None, 1, "1"), "not either"),
        (Measure(0, 0), "counts 0 of 0, not 0 to n of n"),
        (Measure(2, 1), "counts 2 of 1"),
        (Measure(-1, 1), "counts -1 of 1"),
        (Measure(-1, -1), "counts -1 of -1"),
        (Measure(1, MOST + 1), f"counts 1 of {MOST + 1}"),
        (Measure(value=""), "not a decimal number"),
        (Measure(value="NaN"), "not a decimal number"),
        (Measure(value="Infinity"), "not a decimal number"),
        (Measure(value="1" * 41), "not a decimal number"),
        (Measure(value="1e41"), "not a finite decimal number"),
        (Measure(value="1e-41"), "not a finite decimal number"),
    ],
)
def test_everything_else_is_none(measure, reason):
    with pytest.raises(VerificationError, match=reason):
        check_measure("recall", measure)


def test_a_measure_is_written_for_people():
    assert (str(Measure(3, 4)), str(Measure(value="0.5"))) == ("3 of 4", "0.5")
