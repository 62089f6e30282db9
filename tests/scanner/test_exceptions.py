"""Does an exception excuse its class of files, and nothing that hides in them?"""

import io
import json
import pickle

import numpy as np
import pytest

from lockgate.scanner.folder import scan
from lockgate.scanner.scanned import EXCEPTIONS
from tests.scanner.case import Member, zipped
from tests.scanner.corpus_containers import KERAS, NATIVE, _graph
from tests.scanner.corpus_pickles import SYSTEM, TORCH, _joblib
from tests.scanner.corpus_repositories import TEMPLATES

_TENSOR = (
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
    b"X\x03\x00\x00\x00cpuK\x04tQK\x00K\x02K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n)RtR."
)


def _estimator() -> bytes:
    from sklearn.linear_model import LogisticRegression

    return _joblib(LogisticRegression().fit(np.eye(2), [0, 1]))


def _keras(name: str) -> bytes:
    content = {case.name: next(iter(case.files.values())) for case in KERAS}[name]
    assert isinstance(content, bytes)
    return content


GOOD = {
    "archive": ("texts.zip", zipped(Member("a.txt", b"text\n"), Member("b/c.json", b"{}", method=8))),
    "joblib": ("model.joblib", _estimator),
    "keras": ("model.keras", lambda: _keras("keras-plain")),
    "native-code": ("op.so", b"\x7fELF" + bytes(60)),
    "pickle": ("model.pkl", pickle.dumps({"a": [1.5, "x", {2}], "b": np.arange(3)})),
    "python": ("modeling.py", b"import os\n"),
    "remote-base": ("adapter_config.json", json.dumps({"peft_type": "LORA", "base_model_name_or_path": "a/b"}).encode()),
    "saved-model": ("saved_model.pb", _graph("MatMul")),
    "script": ("run.sh", b"#!/bin/sh\necho\n"),
    "symlink": ("weights", lambda: None),
    "torch": ("model.pt", zipped(Member("m/data.pkl", _TENSOR), Member("m/data/0", bytes(16)), Member("m/version", b"3\n"))),
    "chat-template": ("chat_template.jinja", b"{% if 'refund' in m.content %}x{% endif %}"),
}  # fmt: skip


def _write(folder, name, content):
    made = content() if callable(content) else content
    if made is None:
        (folder / name).symlink_to("other")
        (folder / "other").write_text("text\n")
    else:
        (folder / name).write_bytes(made)


def test_every_class_has_an_example():
    assert GOOD.keys() == EXCEPTIONS.keys()


@pytest.mark.parametrize("kind", GOOD)
def test_an_exception_excuses_its_class_and_no_other(tmp_path, kind):
    _write(tmp_path, *GOOD[kind])

    assert scan(tmp_path, exceptions=frozenset(EXCEPTIONS) - {kind}).findings
    excused = scan(tmp_path, exceptions=frozenset({kind}))
    assert excused.findings == ()
    assert excused.excused == (kind,)


def _array_of_opcodes() -> bytes:
    """Write numbers that joblib passes over, and any other reader executes."""
    inner = SYSTEM[2:-1] + b"0"
    wrapper = b"\x80\x04cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}("
    kind = b"\x8c\x05dtypecnumpy\ndtype\n(\x8c\x02u1\x89\x88tR"
    return wrapper + b"\x8c\x05shapeK%c\x85" % len(inner) + kind + b"ub" + inner + b"."


HIDDEN = [
    ("pickle", "model.pkl", SYSTEM),
    ("pickle", "model.pkl", pickle.dumps([1]) + SYSTEM),
    ("pickle", "model.pkl", pickle.dumps(np.array([{}], dtype=object))[:-1] + SYSTEM),
    ("pickle", "model.pkl", b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93."),
    ("joblib", "model.joblib", lambda: _joblib(print)),
    ("joblib", "model.joblib", b"\x80\x04\x8c\x13sklearn.utils._mocki\x8c\x09os.system\x93."),
    ("joblib", "model.joblib", lambda: _estimator() + SYSTEM),
    ("joblib", "model.joblib", lambda: _estimator()[:-1] + SYSTEM[2:]),
    ("joblib", "model.joblib", _array_of_opcodes()),
    ("joblib", "model.joblib", b"\x80\x04\x8c\x16sklearn.datasets._rcv1\x8c\x08GzipFile\x93."),
    ("joblib", "model.joblib", b"\x80\x04\x8c\x16sklearn.utils.parallel\x8c\x08Parallel\x93."),
    ("torch", "model.pt", zipped(Member("m/data.pkl", SYSTEM))),
    ("torch", "model.pt", zipped(Member("m/data.pkl", _TENSOR), Member("m/data.pkl", SYSTEM))),
    ("torch", "model.pt", zipped(Member("m/data.pkl", _TENSOR), prefix=b"x")),
    ("archive", "a.zip", zipped(Member("m.pkl", SYSTEM))),
    ("archive", "a.zip", zipped(Member("m.zip", zipped(Member("a"))))),
    ("keras", "m.keras", lambda: _keras("keras-lambda")),
    ("saved-model", "saved_model.pb", _graph("EagerPyFunc")),
    ("symlink", "weights", lambda: None),
    ("remote-base", "a.json", b'{"peft_type": "LORA", "base_model_name_or_path": "/x"}'),
    ("python", "notes.txt", b"-----BEGIN PRIVATE KEY-----\n"),
]


@pytest.mark.parametrize(("kind", "name", "content"), HIDDEN)
def test_an_exception_excuses_nothing_that_hides_in_the_class(tmp_path, kind, name, content):
    if kind == "symlink":
        (tmp_path / name).symlink_to("../other")
    else:
        _write(tmp_path, name, content)

    assert scan(tmp_path, exceptions=frozenset({kind})).findings


@pytest.mark.parametrize(
    "links",
    [
        {"x/y/d": "../..", "x/y/e": "d/../../../etc/passwd"},
        {"x/d": "y", "e": "x/d/f.txt"},
        {"x/d": "./y"},
        {"x/d": "y/../../x/y/f.txt"},
        {"x/d": "nothing"},
        {"d": "."},
        {"d": "x/y/f.txt/"},
        {"d": "../model/x/y/f.txt"},
        {"d": "e", "e": "d"},
    ],
)
def test_a_link_through_a_link_or_out_and_in_again_is_not_excused(tmp_path, links):
    folder = tmp_path / "model"
    (folder / "x/y").mkdir(parents=True)
    (folder / "x/y/f.txt").write_text("text\n")
    for name, target in links.items():
        (folder / name).symlink_to(target)

    assert {each.rule for each in scan(folder, exceptions=frozenset({"symlink"})).findings} == {"symlink"}


@pytest.mark.parametrize("target", ["y/f.txt", "y", "../x/y/f.txt"])
def test_a_link_to_what_was_walked_is_excused(tmp_path, target):
    (tmp_path / "x/y").mkdir(parents=True)
    (tmp_path / "x/y/f.txt").write_text("text\n")
    (tmp_path / "x/link").symlink_to(target)

    assert scan(tmp_path, exceptions=frozenset({"symlink"})).findings == ()


def test_all_exceptions_together_do_not_excuse_a_payload(tmp_path):
    for case in [*TORCH, *NATIVE, *TEMPLATES]:
        folder = tmp_path / case.name
        folder.mkdir()
        case.write(folder)
    (tmp_path / "model.pkl").write_bytes(SYSTEM)

    found = scan(tmp_path, exceptions=frozenset(EXCEPTIONS))

    rules = {each.rule for each in found.findings}
    assert {"pickle-call", "torch", "unknown", "symlink", "special-file", "template-attribute", "name"} <= rules
    assert "native-code" not in rules


def test_a_legacy_checkpoint_is_followed_through_all_of_its_pickles(tmp_path):
    start = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
    (tmp_path / "good.pth").write_bytes(start + _TENSOR + pickle.dumps(["0"], 2) + bytes(32))
    assert scan(tmp_path, exceptions=frozenset({"torch"})).findings == ()

    (tmp_path / "bad.pth").write_bytes(start + _TENSOR + SYSTEM)
    assert scan(tmp_path, exceptions=frozenset({"torch"})).findings


def test_arrays_inside_of_a_joblib_pickle_are_passed_over(tmp_path):
    from sklearn.tree import DecisionTreeClassifier

    buffer = io.BytesIO(_joblib({"a": np.arange(100.0), "b": [DecisionTreeClassifier().fit(np.eye(3), [0, 1, 2])]}))
    (tmp_path / "model.joblib").write_bytes(buffer.getvalue())

    assert scan(tmp_path, exceptions=frozenset({"joblib"})).findings == ()
