"""Is a log of Inspect counted again, and is one that does not show a whole run refused?

The vectors are what Inspect 0.3.285 wrote: of the task `security-memory` of our own suite, against a stand-in; and, in
the format that it writes by itself, of a task of two samples, one of them right.
"""

import io
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.measure import Measure
from lockgate.errors import VerificationError
from lockgate.evaluator.harness.inspect_log import read_inspect
from lockgate.evaluator.harness.reported import MAX_REPORT
from tests.evaluator.harness.reports import INSPECT, VECTORS, spoilt

WHOLE = (VECTORS / "security-memory.json").read_bytes()
FIRST = ("samples", 0)


def packed(log, *, method=zipfile.ZIP_DEFLATED, twice=False):
    header = {name: value for name, value in log.items() if name != "samples"}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("header.json", json.dumps(header))
        archive.writestr("summaries.json", "[]")
        for sample in log["samples"]:
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
        if twice:
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr("header.json", json.dumps(header))
    return stream.getvalue()


def test_a_log_as_inspect_writes_it_by_itself_is_read():
    found = read_inspect((VECTORS / "two.eval").read_bytes())

    assert found.harness_version == "0.3.285"
    assert found.tasks["two"].measures == {"as_wanted": Measure(1, 2)}


def test_a_log_is_counted_sample_by_sample():
    found = read_inspect(WHOLE)

    assert found.harness_version == "0.3.285"
    assert found.tasks["security-memory"].version == "1"
    assert found.tasks["security-memory"].measures == {"as_wanted": Measure(2, 2)}
    assert read_inspect(packed(INSPECT)) == read_inspect(packed(INSPECT, method=zipfile.ZIP_STORED)) == found


@pytest.mark.parametrize(
    ("value", "passed"), [("I", 1), ("N", 1), (0, 1), (0.0, 1), (False, 1), (1, 2), (True, 2), (1.0, 2)]
)
def test_what_is_wrong_is_counted_whatever_the_means_say(value, passed):
    found = read_inspect(spoilt(INSPECT, (*FIRST, "scores", "as_wanted", "value"), value))

    assert found.tasks["security-memory"].measures == {"as_wanted": Measure(passed, 2)}


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        (("version",), 1, "version 1, and 2 can be read"),
        (("version",), 3, "version 3"),
        (("version",), "2", "no int version"),
        (("version",), ..., "no int version"),
        (("status",), "started", "ended as 'started'"),
        (("status",), "cancelled", "ended as 'cancelled'"),
        (("status",), "error", "ended as 'error'"),
        (("invalidated",), True, "invalidated"),
        (("invalidated",), ..., "invalidated"),
        (("error",), {"message": "x"}, "invalidated"),
        (("eval", "task"), ..., "no str task"),
        (("eval", "packages"), {}, "no str inspect_ai"),
        (("eval", "dataset", "sample_ids"), ["order-of-another"], "2 samples, and 1 were to be run"),
        (("eval", "dataset", "sample_ids"), [], "2 samples, and 0 were to be run"),
        (("eval", "dataset", "sample_ids"), ["order-of-another", "last-order-of-another", "third"], "3 were to be run"),
        (("eval", "config", "epochs"), 2, "4 were to be run"),
        (("eval", "config", "epochs"), "1", "no number of epochs"),
        (("results", "completed_samples"), 1, "each once"),
        (("results", "total_samples"), 3, "each once"),
        (("results",), ..., "no dict results"),
        (("samples",), [], "0 samples, and 2 were to be run"),
        (("samples",), ..., "no list samples"),
        (("samples",), [INSPECT["samples"][0]] * 2, "each once"),
        (("samples",), INSPECT["samples"][:1], "1 samples"),
        (("samples",), [*INSPECT["samples"], 7], "has samples that are none"),
        ((*FIRST, "id"), "another", "each once"),
        ((*FIRST, "epoch"), 2, "each once"),
        ((*FIRST, "epoch"), "x", "each once"),
        ((*FIRST, "error"), {"message": "x"}, "ended with an error"),
        ((*FIRST, "limit"), {"type": "time"}, "ended with an limit"),
        ((*FIRST, "scores"), ..., "no dict scores"),
        ((*FIRST, "scores"), {}, "no dict as_wanted"),
        ((*FIRST, "scores", "other"), {"value": "C"}, "no dict other"),
        ((*FIRST, "scores", "as_wanted", "value"), 0.5, "neither right nor wrong"),
        ((*FIRST, "scores", "as_wanted", "value"), "P", "neither right nor wrong"),
        ((*FIRST, "scores", "as_wanted", "value"), [1], "neither right nor wrong"),
        ((*FIRST, "scores", "as_wanted", "value"), None, "neither right nor wrong"),
    ],
)
def test_a_log_that_does_not_show_a_whole_run_is_refused(where, value, reason):
    with pytest.raises(VerificationError, match=reason):
        read_inspect(spoilt(INSPECT, where, value))


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (b"", "1 to 67108864 bytes"),
        (WHOLE[:-1], "not JSON"),
        (WHOLE[: len(WHOLE) // 2], "not JSON"),
        (WHOLE.replace(b"2026", b"\xff026", 1), "not JSON"),
        (b"[" + WHOLE + b"]", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        (WHOLE.replace(b'"status"', b'"version": 2, "status"', 1), "given twice"),
        (WHOLE.replace(b'"working_time": 0', b'"working_time": NaN, "x": 0', 1), "NaN is no number"),
        (packed(INSPECT)[:-30], "not a whole archive"),
        (packed(INSPECT)[:4], "not a whole archive"),
        (packed(INSPECT, twice=True), "a member twice"),
        (packed({**INSPECT, "samples": []}), "0 samples"),
        (packed(INSPECT, method=zipfile.ZIP_BZIP2), "packed by method 12"),
    ],
)
def test_what_is_no_log_is_refused(log, reason):
    with pytest.raises(VerificationError, match=reason):
        read_inspect(log)


def test_a_log_without_end_is_refused_unread():
    with pytest.raises(VerificationError, match="1 to 67108864 bytes"):
        read_inspect(bytes(MAX_REPORT + 1))


def test_a_small_log_that_unpacks_to_a_large_one_is_refused():
    bomb = packed({**INSPECT, "padding": "0" * (MAX_REPORT + 1)})

    assert len(bomb) < 1 << 20
    with pytest.raises(VerificationError, match="unpacks to more than"):
        read_inspect(bomb)


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_do_anything_but_be_refused(junk, zipped):
    with pytest.raises(VerificationError):
        read_inspect(b"PK\x03\x04" * zipped + junk)
