"""Does any change of any file lead to findings, and never to a crash?"""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.scanner.chat_template import template_flaws
from lockgate.scanner.json_text import read_json
from lockgate.scanner.judgement import judge, judge_numbers
from lockgate.scanner.npy import read_literal
from lockgate.scanner.pickle_machine import follow, would_call
from lockgate.scanner.scanned import Claim
from lockgate.scanner.zip_structure import entries
from tests.scanner.case import Member, gguf, proto, tensors, text, zipped
from tests.scanner.corpus_containers import _H5, _graph, _tar
from tests.scanner.corpus_formats import external, model, node, tensor
from tests.scanner.corpus_pickles import SYSTEM, _joblib, _npy, npy
from tests.scanner.test_chat_template import LAYOUTS

_HEADER = "{'descr': [('a', '<f4'), ('b', 'S3', (2,))], 'fortran_order': False, 'shape': (2,), }"
GOOD = {
    "safetensors": tensors(),
    "gguf": gguf({"tokenizer.chat_template": text(LAYOUTS["thinking"]), "a": text("b")}),
    "onnx": model((5, tensor()), (5, external("w")), (1, node("If", "", proto((1, b"b"), (6, proto((2, b"g"))))))),
    "npy": npy(_HEADER, bytes(20)),
    "sentencepiece": proto((1, proto((1, b"x"))), (2, proto((4, 8000)))),
    "saved-model": _graph("MatMul"),
    "zip": zipped(Member("a.txt", b"text\n", method=8), Member("b.json", b"{}")),
    "torch": zipped(Member("m/data.pkl", pickle.dumps({"a": 1}, 2)), Member("m/data/0", bytes(16))),
    "keras": zipped(Member("config.json", b"{}"), Member("metadata.json", b"{}"), Member("w.h5", _H5)),
    "pickle": SYSTEM,
    "object-array": _npy(np.array([{}], dtype=object)),
    "joblib": _joblib({"a": np.arange(5.0)}),
    "tar": _tar()[:600],
    "json": b'{"auto_map": {"a": ["b", 1e5, -1, true, null]}, "chat_template": "{{ x }}"}',
    "template": LAYOUTS["macro"].encode(),
    "yaml": b"---\na: &x !tag [1, *x]\n_target_: 'b'\n",
}
changes = st.lists(
    st.tuples(st.integers(0, 2000), st.sampled_from(["set", "cut", "put", "end"]), st.binary(min_size=1, max_size=9)),
    min_size=1,
    max_size=6,
)


def changed(content: bytes, steps: list[tuple[int, str, bytes]]) -> bytes:
    for number, how, piece in steps:
        at = number % (len(content) + 1)
        if how == "set":
            content = content[:at] + piece + content[at + len(piece) :]
        elif how == "cut":
            content = content[:at] + content[at + len(piece) :]
        elif how == "put":
            content = content[:at] + piece + content[at:]
        else:
            content = content[:at]
    return content


@pytest.mark.parametrize("kind", GOOD)
@given(steps=changes)
def test_no_change_of_a_file_crashes_the_scanner(kind, steps):
    content = memoryview(changed(GOOD[kind], steps))

    judged = judge("model.bin", content)

    assert judged.format
    assert all(flaw.rule and flaw.text for flaw in judged.flaws)


@pytest.mark.parametrize("kind", ["safetensors", "gguf", "npy", "sentencepiece"])
@given(data=st.data())
def test_nothing_may_stand_behind_a_format_of_numbers(kind, data):
    behind = data.draw(st.binary(min_size=33, max_size=60).filter(any))

    assert judge("x", memoryview(GOOD[kind] + behind)).flaws


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(content):
    judge("x", memoryview(content))
    judge_numbers("w", memoryview(content), [Claim("x", 3, 9)])


@given(st.binary(max_size=200))
def test_any_bytes_can_be_followed_as_a_pickle(content):
    would_call(memoryview(content))
    assert follow(memoryview(content)).ended_at <= len(content)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(value=plain, protocol=st.integers(0, 5))
def test_a_pickle_of_plain_values_is_followed_to_its_end_and_calls_nothing_forbidden(value, protocol):
    course = follow(memoryview(pickle.dumps(value, protocol=protocol)))

    assert course.is_whole and not course.trouble and not course.is_doubtful
    assert {str(named) for named in course.named} <= {"_codecs.encode", "builtins.bytes", "__builtin__.bytes"}


@given(st.text(max_size=60))
def test_any_text_is_read_as_a_template_or_refused(words):
    list(template_flaws(words))
    list(template_flaws("{{ " + words + " }}{% if " + words + " %}"))


@given(st.text(alphabet="{}[]()',: 0123456789TrueFalsx\\\"", max_size=60))
def test_any_text_is_read_as_a_literal_or_refused(words):
    try:
        read_literal(words)
    except VerificationError:
        return


literals = st.recursive(
    st.booleans() | st.integers(0, 10**6) | st.text("abc<f4", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.tuples(inner, inner),
    max_leaves=6,
)


@given(literals)
def test_a_literal_of_python_is_read_as_python_reads_it(value):
    assert read_literal(repr(value)) == value


@given(st.binary(max_size=100))
@settings(max_examples=settings().max_examples // 2)
def test_any_bytes_are_read_as_a_zip_or_refused(content):
    for each in (content, zipped(Member("a", content)), zipped(Member("a", content))[:-1]):
        try:
            found = entries(memoryview(each))
        except VerificationError:
            continue
        assert [bytes(entry.unpacked()) for entry in found] == [content]


@given(st.binary(max_size=60))
def test_any_bytes_are_read_as_json_or_refused(content):
    try:
        read_json(content)
    except VerificationError:
        return


@pytest.mark.parametrize(
    "words",
    [
        "sk-" * 400_000,
        "AIza" * 200_000,
        "a://b:" * 200_000,
        "target " * 200_000,
        "trust_remote_code :" * 80_000,
        'x: "' * 300_000,
        "&a *a " * 200_000,
        "{{ x " * 200_000,
        "import a" + ", a" * 300_000 + "!",
        "N." * 500_000,
        "(" * 1_000_000,
    ],
    ids=lambda words: words[:12],
)
@pytest.mark.parametrize("part", [8, pytest.param(1, marks=pytest.mark.slow)], ids="1/{}".format)
def test_no_text_keeps_the_scanner_for_long(words, part):
    judge("settings", memoryview(words[: len(words) // part].encode()))
