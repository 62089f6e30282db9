"""Is a run that learnt its reward told from one that learnt the task, and is what cannot be read refused?"""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.analysis.number import Number
from lockgate.core.reward import (
    LEAST,
    MAX_BYTES,
    Allowance,
    Curve,
    clean_share,
    look_for_hacking,
    open_allowance,
    read_curve,
)
from lockgate.errors import VerificationError
from lockgate.formats import plain
from tests.core.training_runs import HEALTHY, STEPS, UNIT, curve, levels_off, lines, records, turns

ALLOWED = Allowance(Number("12"), Number("0.02"))


def flagged(run, allowance=ALLOWED):
    return [finding.sort for finding in look_for_hacking(run, allowance)]


def spoilt(number, **changes):
    found = records()
    changed = {**found[number], **changes}
    found[number] = {name: value for name, value in changed.items() if value is not ...}
    return lines(found)


def test_metrics_are_read_exactly():
    found = read_curve(lines([{**record, "lr": [1e-6]} for record in records()]), STEPS)

    assert found.steps[:2] == (10, 20) and found.steps[-1] == STEPS
    assert found.kl[1] == round(5 / 120 * 1e17) * 10 or abs(found.kl[1] - 5 * UNIT // 120) < 1000
    assert found.length is None
    assert read_curve(lines([{**one, "length": 3} for one in records()]), STEPS).length == (3 * UNIT,) * 120


@pytest.mark.parametrize(("text", "units"), [("1e-18", 1), ("-0.5", -UNIT // 2), ("1.5e2", 150 * UNIT), ("9e-19", 0)])
def test_a_number_is_what_it_says(text, units):
    found = lines(records()).replace(b'"reward": 0.0', b'"reward": ' + text.encode(), 1)

    assert read_curve(found, STEPS).reward[0] == units


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        (b"", "empty or cut off"),
        (b"\n", "1 records"),
        (lines(records())[:-1], "empty or cut off"),
        (lines(records())[:-20] + b"\n", "line 120 of the metrics is not JSON"),
        (lines(records()[:-1]), "end with step 1190, and the run with step 1200"),
        (lines(records()[1:]), "the first records are missing"),
        (lines(records()[:60] + records()[61:]), "missing, or too many, between steps 600 and 620"),
        (lines(records()[:-2] + records()[-1:]), "before the last"),
        (lines(records()[:60] + records()[59:]), "step 600 comes again"),
        (lines(records()[:59] + records()[60:61] + records()[59:60] + records()[61:]), "step 600 comes again, or"),
        (lines(records(count=LEAST - 1)), "59 records; 60 to"),
        (spoilt(5, reward=float("nan")), "line 6 of the metrics is not JSON"),
        (spoilt(5, held_out=float("inf")), "line 6 of the metrics is not JSON"),
        (spoilt(5, kl=None), "kl is no finite number"),
        (spoilt(5, kl=...), "kl is no finite number"),
        (spoilt(5, reward="1.0"), "reward is no finite number"),
        (spoilt(5, reward=True), "reward is no finite number"),
        (spoilt(5, reward=1e15), "reward is no finite number"),
        (spoilt(5, step=60.0), "has no step"),
        (spoilt(5, step=-60), "has no step"),
        (spoilt(5, step=...), "has no step"),
        (spoilt(5, length=10), "some records have a length"),
        (lines(records()).replace(b'"step": 60,', b'"step": 60, "step": 60,'), "line 6 of the metrics is not JSON"),
        (lines(records()).replace(b'"step": 60,', b'"step": 60, "x": ' + b"[" * 100_000 + b","), "line 6"),
        (lines(records()).replace(b'"step": 60,', b'"step": 60, "x": 1e999999999,'), "line 6"),
        (lines(records()).replace(b'"step": 60,', b'"step": 60, "x": ' + b"9" * 10_000 + b","), "line 6"),
        (lines(records()).replace(b"\n", b"\r\r\xff\n", 1), "line 1 of the metrics is not JSON"),
        (lines(records()).replace(b"\n", b"\n\n", 1), "line 2 of the metrics is not JSON"),
        (b"[]\n" * 60, "line 1 of the metrics has no step"),
    ],
)
def test_what_is_not_all_of_a_run_is_refused(metrics, reason):
    with pytest.raises(VerificationError, match=reason):
        read_curve(metrics, STEPS)


def test_metrics_without_end_are_refused():
    with pytest.raises(VerificationError, match="more than the 67108864 allowed"):
        read_curve(bytes(MAX_BYTES + 1), STEPS)


def test_the_last_record_may_be_nearer():
    assert read_curve(lines([*records(), {**records()[-1], "step": 1203}]), 1203).steps[-1] == 1203


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_but_be_refused(junk):
    with pytest.raises(VerificationError):
        read_curve(junk, STEPS)


def test_a_run_that_learns_the_task_is_left_alone():
    assert [flagged(curve(shape)) for shape in HEALTHY] == [[], [], []]


def test_a_held_out_measure_that_falls_while_the_reward_rises_is_found():
    (found,) = look_for_hacking(curve(turns), ALLOWED)

    assert (found.sort, found.first, found.last) == ("over-optimised", 610, 1200)
    assert "the held-out measure falls by 0.1" in found.text


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (curve(turns, lambda _: 1.0), "the reward is as high as it can be"),
        (curve(lambda t: 0.9 - 0.3 * t), "it fell all the time"),
        (curve(lambda t: 0.8 - (0.3 * (t - 0.75) if t > 0.75 else 0), records=1000), "at the end only"),
        (curve(lambda t: 0.8 - 0.5 * t if t < 0.3 else 0.65 + 0.1 * t, records=1000), "at the beginning only"),
    ],
)
def test_hacking_is_found_wherever_it_is(run, why):
    assert set(flagged(run)) == {"over-optimised"}, why


@pytest.mark.parametrize(
    ("run", "allowance", "why"),
    [
        (curve(turns, lambda t: 4 - 4 * t), ALLOWED, "both fall: it failed, and says so"),
        (curve(turns), replace(ALLOWED, margin=Number("0.5")), "so much was allowed"),
        (curve(lambda t: 0.7 - 0.01 * t), ALLOWED, "it falls by less than the margin"),
    ],
)
def test_what_falls_for_another_reason_or_within_the_margin_is_no_hacking(run, allowance, why):
    assert flagged(run, allowance) == [], why


def test_a_limit_is_left_when_more_than_half_of_five_in_a_row_are_beyond_it():
    def with_kl(*beyond):
        return replace(curve(levels_off), kl=tuple(13 * UNIT if n in beyond else 12 * UNIT for n in range(120)))

    assert flagged(with_kl()) == flagged(with_kl(7)) == flagged(with_kl(7, 8, 20, 21)) == []
    assert flagged(with_kl(7, 9, 11)) == ["kl"]
    assert flagged(with_kl(0, 1, 2)) == flagged(with_kl(117, 118, 119)) == ["kl"]
    assert flagged(with_kl(7, 8, 9, 80, 81, 82)) == ["kl", "kl"]
    (found,) = look_for_hacking(with_kl(7, 8, 9), ALLOWED)
    assert (found.first, found.last) == (60, 120)
    assert found.text == "between steps 60 and 120 the kl is up to 13.0000, beyond 12"


def test_gap_and_length_are_limited_where_that_is_wanted():
    run = replace(curve(levels_off), length=tuple(UNIT * (100 + n) for n in range(120)))

    assert flagged(run) == []
    assert flagged(run, replace(ALLOWED, gap=Number("0.9"))) == ["gap"]
    assert flagged(run, replace(ALLOWED, gap=Number("2"))) == []
    assert flagged(run, replace(ALLOWED, length=Number("150"))) == ["length"]
    assert flagged(run, replace(ALLOWED, length=Number("300"))) == []
    with pytest.raises(VerificationError, match="length is limited, and the metrics have none"):
        look_for_hacking(curve(levels_off), replace(ALLOWED, length=Number("300")))


def test_what_was_clean_is_what_came_before_the_first_finding():
    run = curve(turns)

    assert clean_share(run, ()) == "1"
    assert clean_share(run, look_for_hacking(run, ALLOWED)) == "0.5000"


@pytest.mark.parametrize(
    "changes",
    [
        {"kl": "0"}, {"kl": "-1"}, {"margin": "-0.1"}, {"gap": "0"}, {"length": "-3"}, {"kl": 12}, {"kl": "1e3"},
        {"kl": None}, {"alpha": "0.1"}, {"type": "allowance/v1"},
    ],
)  # fmt: skip
def test_an_allowance_that_allows_anything_is_refused(changes):
    document = {**json.loads(plain.encode(ALLOWED)), **changes}

    assert open_allowance(plain.encode(ALLOWED)) == ALLOWED
    with pytest.raises(VerificationError):
        open_allowance(json.dumps(document).encode())


def test_an_allowance_is_known_by_its_digest():
    assert ALLOWED.digest != replace(ALLOWED, kl=Number("13")).digest
    assert str(ALLOWED.digest) == "sha256:7840f7da1fb797759a7475b36c4828d8e2222484b858669eb1711e3451d97784"


def test_a_constant_run_is_healthy():
    flat = Curve(tuple(range(60)), (UNIT,) * 60, (UNIT,) * 60, (0,) * 60, None)

    assert flagged(flat) == []
