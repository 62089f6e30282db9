import base64
import time
from types import MappingProxyType

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.formats import canonical
from tests.formats.records import records

names = st.text(st.characters(max_codepoint=127), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=20)


@pytest.mark.parametrize("record", records("canonical/good.txt"), ids=lambda record: record["case"])
def test_good_json_has_one_form(record):
    wanted = base64.b64decode(record["canonical"])

    assert canonical.encode(canonical.parse(base64.b64decode(record["json"]))) == wanted
    assert canonical.encode(canonical.parse(wanted)) == wanted


@pytest.mark.parametrize("record", records("canonical/bad.txt"), ids=lambda record: record["case"])
def test_bad_json_is_refused_for_the_right_reason(record):
    with pytest.raises(VerificationError) as refused:
        canonical.parse(base64.b64decode(record["json"]))

    assert record["error"] in str(refused.value)


@given(values)
def test_our_canonical_json_is_jcs(value):
    assert canonical.encode(value) == rfc8785.dumps(value)


@given(values)
def test_what_is_written_is_read_back(value):
    assert canonical.parse(canonical.encode(value)) == value


@given(st.binary(max_size=64))
def test_junk_is_refused_or_has_one_form(junk):
    try:
        value = canonical.parse(junk)
    except VerificationError:
        return
    assert canonical.parse(canonical.encode(value)) == value


@given(st.recursive(scalars | st.floats() | st.integers(), st.lists, max_leaves=5))
def test_value_is_written_only_if_it_can_be_read(value):
    try:
        written = canonical.encode(value)
    except VerificationError:
        return
    assert canonical.parse(written) == value


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":', b"[[],"])
def test_a_hundred_thousand_levels_do_no_harm(opening):
    with pytest.raises(VerificationError, match="nested deeper than 32"):
        canonical.parse(opening * 100_000)


def test_many_members_take_little_time():
    members = [b'"%x":0' % number for number in range(90_000)]
    twice = b"{" + b",".join([*members, members[-1]]) + b"}"

    began = time.process_time()
    with pytest.raises(VerificationError, match="'15f8f' is given twice"):
        canonical.parse(twice)
    assert time.process_time() - began < 2


def test_limit_is_in_bytes_and_exact():
    text = '"é"'.encode()

    assert canonical.parse(text, limit=4) == "é"
    with pytest.raises(VerificationError, match="4 bytes, more than the 3"):
        canonical.parse(text, limit=3)
    assert canonical.parse(b" " * (canonical.MAX_BYTES - 1) + b"1") == 1
    with pytest.raises(VerificationError, match="more than the 1048576"):
        canonical.parse(b" " * canonical.MAX_BYTES + b"1")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.0, "cannot hold float"),
        (float("nan"), "cannot hold float"),
        (b"a", "cannot hold bytes"),
        ({1}, "cannot hold set"),
        ([object()], "cannot hold object"),
        ({"a": {"b": 0.5}}, "cannot hold float"),
        (2**53, "2\\^53"),
        (-(2**53), "2\\^53"),
        ("\ud800", "lone surrogate"),
        (["é\udfff"], "lone surrogate"),
        ({"é": 1}, "not ASCII"),
        ({1: 1}, "not ASCII text"),
        ({None: 1}, "not ASCII text"),
    ],
)
def test_what_json_cannot_hold_is_not_written(value, words):
    with pytest.raises(VerificationError, match=words):
        canonical.encode(value)


def test_mappings_and_tuples_are_written_like_objects_and_lists():
    assert canonical.encode(MappingProxyType({"b": (1, 2), "a": MappingProxyType({})})) == b'{"a":{},"b":[1,2]}'


def test_object_is_told_from_other_values():
    assert canonical.parse_object(b'{"a":1}') == {"a": 1}
    for other, kind in (
        (b"[]", "a list"),
        (b"1", "an integer"),
        (b"true", "a boolean"),
        (b"null", "null"),
        (b'""', "text"),
    ):
        with pytest.raises(VerificationError, match=f"JSON is {kind}, not an object"):
            canonical.parse_object(other)
    with pytest.raises(VerificationError, match="more than the 6"):
        canonical.parse_object(b'{"a":1}', limit=6)
