"""Does a report with anything in any place do anything but count or be refused?"""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.evaluator.harness.garak_report import read_garak
from lockgate.evaluator.harness.inspect_log import read_inspect
from lockgate.evaluator.harness.lm_eval_results import read_lm_eval
from lockgate.evaluator.harness.promptfoo_results import read_promptfoo
from lockgate.evaluator.harness.reported import Reported
from tests.evaluator.harness.reports import GARAK, INSPECT, LM_EVAL, PROMPTFOO, lines, places, spoilt

SMALL = {name: value for name, value in INSPECT.items() if name not in ("plan", "stats", "reductions")} | {
    "samples": [{name: sample[name] for name in ("id", "epoch", "scores")} for sample in INSPECT["samples"]]
}
READERS = [(read_inspect, SMALL), (read_promptfoo, PROMPTFOO), (read_lm_eval, LM_EVAL)]
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8), st.just([]), st.just({}),
    st.just([[]]), st.just({"": []}), st.just(10**400), st.just(-(10**400)), st.just("9" * 5000), st.just(["id"]),
)  # fmt: skip


def endured(read, report):
    with suppress(VerificationError):
        assert isinstance(read(report), Reported)


@pytest.mark.parametrize(("read", "report"), READERS, ids=lambda each: getattr(each, "__name__", ""))
@given(draw=st.data())
def test_a_member_that_is_something_else_is_counted_or_refused(read, report, draw):
    where = draw.draw(st.sampled_from(sorted(places(report), key=str)))

    endured(read, spoilt(report, where, draw.draw(ODD)))


@given(draw=st.data())
def test_a_line_of_garak_that_is_something_else_is_counted_or_refused(draw):
    number = draw.draw(st.integers(min_value=0, max_value=len(GARAK) - 1))
    name = draw.draw(st.sampled_from(sorted(GARAK[number])))
    found = [*GARAK[:number], {**GARAK[number], name: draw.draw(ODD)}, *GARAK[number + 1 :]]

    endured(read_garak, lines(found))


@pytest.mark.parametrize(
    ("read", "report"),
    [
        (read_garak, lines([*GARAK[:3], GARAK[3] | {"uuid": []}, *GARAK[4:]])),
        (read_garak, lines([*GARAK[:4], GARAK[4] | {"probe_classname": []}, *GARAK[5:]])),
        (
            read_inspect,
            spoilt(SMALL, ("eval", "dataset", "sample_ids"), [None]).replace(b'"order-of-another"', b"null"),
        ),
        (read_lm_eval, json.dumps(LM_EVAL).replace("91.72052074266634", "1e999").encode()),
        (read_lm_eval, spoilt(LM_EVAL, ("results", "desk-pages", "chrf,page"), 10**400)),
    ],
)
def test_what_once_broke_a_reader_is_refused(read, report):
    with pytest.raises(VerificationError):
        read(report)


def test_a_sample_without_an_id_is_refused():
    one = {**SMALL["samples"][0]}
    del one["id"]
    found = {**SMALL, "samples": [one], "results": {"total_samples": 1, "completed_samples": 1}}
    found["eval"] = {**SMALL["eval"], "dataset": {"sample_ids": [None]}}

    with pytest.raises(VerificationError):
        read_inspect(json.dumps(found).encode())
