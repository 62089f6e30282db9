"""Is a number what it says, to the last digit, and is a float the same after it was written and read?"""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.analysis.number import Exact, Number, antilog_text, decimal_text
from lockgate.errors import VerificationError


def test_a_number_is_what_it_says():
    assert Number.parse("0.004").exact == Fraction(1, 250)
    assert float(Number("12.5")) == 12.5
    assert Number("-0.5").exact == Fraction(-1, 2)
    assert str(Number("0.0010")) == "0.0010"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".5",
        "5.",
        "--1",
        "+1",
        "01",
        "1e3",
        "1_000",
        " 1",
        "1 ",
        "nan",
        "inf",
        "0x1",
        "1" * 16,
        "0." + "1" * 13,
        "\u0661",
    ],
)
def test_what_is_no_number_is_refused(text):
    with pytest.raises(VerificationError, match="not a number"):
        Number.parse(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_the_same_after_it_was_written_and_read(value):
    assert Exact.parse(str(Exact(value))).hex() == value.hex()


@pytest.mark.parametrize(
    "text", ["", "1", "0x1p0", "nan", "inf", "-inf", "0x1.0p+9999", "0X1.0000000000000p+0", " 0x1.8000000000000p+1"]
)
def test_a_float_that_is_written_in_another_way_is_refused(text):
    with pytest.raises(VerificationError, match="hexadecimal"):
        Exact.parse(text)


@pytest.mark.parametrize(
    ("log", "text"),
    [
        (0.0, "1"),
        (math.log(312.46), "312.5"),
        (132.17, "2.516e+57"),
        (-200.0, "1.384e-87"),
        (5000.0, "2.968e+2171"),
        (1e8, "1.550e+43429448"),
    ],
)
def test_however_large_it_is_it_can_be_written(log, text):
    assert antilog_text(log) == text


def test_four_digits_are_enough_for_a_person():
    assert [decimal_text(value) for value in (250.0, 1 / 3, 0.0)] == ["250", "0.3333", "0"]
