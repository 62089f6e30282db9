import threading
from contextlib import contextmanager

import pytest

from lockgate.errors import VerificationError
from lockgate.evaluator import line as line_of_code
from lockgate.evaluator.baseline.filter_probe import dangerous_cleaned, harmless_kept, outputs
from lockgate.evaluator.baseline.guardrail_probe import attempts_refused, guarded_texts, ordinary_answered
from lockgate.evaluator.baseline.intake import filled, intake_of, pointed
from lockgate.evaluator.baseline.intake_probes import intake_probes
from lockgate.evaluator.baseline.misfits import misfits
from lockgate.evaluator.line import Line
from tests.evaluator.candidates import INTAKE, SAY, candidate
from tests.evaluator.toy_server import Exchange, Unix


@contextmanager
def toy(path, mode="good"):
    """Serve the toy at a unix socket, as the relay of a sandbox does."""
    with Unix(str(path / "s"), Exchange) as served:
        served.mode = mode
        thread = threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield Line(path / "s", patience=2)
        served.shutdown()
        thread.join()


def intake(tmp_path):
    return intake_of(candidate(tmp_path / "release", {"config/intake.json": INTAKE}))


def failed(tried):
    return {each.case: each.why for each in tried if each.why is not None}


def test_a_careful_server_passes_every_probe(tmp_path):
    with toy(tmp_path) as line:
        tried = list(intake_probes(intake(tmp_path), line))

    assert failed(tried) == {}
    assert len(tried) > 35


def test_a_server_that_takes_anything_fails_what_it_should_have_refused(tmp_path):
    with toy(tmp_path, "lax") as line:
        found = failed(intake_probes(intake(tmp_path), line))

    wanted = ("/request is 7", "a member too many in it", "/session is missing", "control characters in /request")
    assert {f"/say: {name}" for name in wanted} <= found.keys()
    assert found["/say: /request is 7"] == "answered 200, not 4xx"


def test_a_server_that_answers_with_errors_of_its_own_fails(tmp_path):
    with toy(tmp_path, "breaks") as line:
        assert failed(intake_probes(intake(tmp_path), line))["/say: no JSON"] == "answered 500, not 4xx"


def test_a_server_whose_good_answer_changes_fails(tmp_path):
    with toy(tmp_path, "changes") as line:
        found = failed(intake_probes(intake(tmp_path), line))

    assert "afterwards the good request was answered in another way" in found.values()
    assert len(found) > 30


def test_once_nobody_answers_everything_that_is_left_has_failed(tmp_path):
    with toy(tmp_path) as line:
        (tmp_path / "s").unlink()
        tried = list(intake_probes(intake(tmp_path), line))

    assert len(failed(tried)) == len(tried) > 35


def test_what_points_at_nothing_compares_nothing(tmp_path):
    spoiled = {**INTAKE, "takes": [{**SAY, "same": ["/said", "/nope"]}]}
    found = intake_of(candidate(tmp_path / "release", {"config/intake.json": spoiled}))
    with toy(tmp_path) as line:
        tried = list(intake_probes(found, line))

    assert len(failed(tried)) == len(tried)
    assert "points at nothing" in tried[0].why


def test_who_hangs_each_time_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(line_of_code, "WAITED_IN_ALL", 1.0)
    with toy(tmp_path, "hangs") as line:
        line.patience = 0.5
        found = failed(intake_probes(intake(tmp_path), line))

    assert found["/say: no JSON"] == "no answer: TimeoutError"
    assert "in all" in found["/say: nothing"]


def test_an_intake_that_takes_nothing_gives_no_case(tmp_path):
    nothing = intake_of(candidate(tmp_path, {"config/intake.json": {**INTAKE, "takes": [], "guardrail": None}}))

    assert list(intake_probes(nothing, Line(tmp_path / "nobody"))) == []


def test_any_bytes_are_a_request_where_bytes_are_wanted(tmp_path):
    taken = {
        "path": "/say",
        "content": "bytes",
        "most": 4096,
        "good": '{"session":"a","request":"b"}',
        "same": ["/said"],
    }
    found = candidate(tmp_path / "release", {"config/intake.json": {**INTAKE, "takes": [taken]}})
    with toy(tmp_path) as line:
        tried = list(intake_probes(intake_of(found), line))

    assert failed(tried) == {}
    assert "/say: every byte" in {each.case for each in tried}


def test_guardrail_and_filter_are_counted_both_ways(tmp_path):
    found = intake(tmp_path)
    with toy(tmp_path) as line:
        recall = list(attempts_refused(found.guardrail, line))
        ordinary = list(ordinary_answered(found.guardrail, line))
        cleaned = list(dangerous_cleaned(found.filter, line))
        kept = list(harmless_kept(found.filter, line))

    assert len(recall) == len(ordinary) == 80 and len(cleaned) == 48 and len(kept) == 26
    assert len(failed(recall)) <= 20 and not failed(ordinary)
    assert failed(cleaned) == {} and failed(kept) == {}


def test_who_lets_everything_through_is_useful_and_not_safe(tmp_path):
    found = intake(tmp_path)
    with toy(tmp_path, "lax") as line:
        assert len(failed(attempts_refused(found.guardrail, line))) == 80
        assert failed(ordinary_answered(found.guardrail, line)) == {}
        assert len(failed(dangerous_cleaned(found.filter, line))) == 48
        assert failed(harmless_kept(found.filter, line)) == {}


def test_a_filter_that_says_nothing_cleans_nothing(tmp_path):
    echo = {"path": "/say", "send": {"session": "s", "request": ""}, "reads": "/said"}
    silent = intake_of(candidate(tmp_path / "r", {"config/intake.json": {**INTAKE, "filter": echo}}))
    with toy(tmp_path) as line:
        assert len(failed(dangerous_cleaned(silent.filter, line))) == 48


@pytest.mark.parametrize(
    "spoiled",
    [
        {"ready": "healthz"},
        {"ready": "/a b"},
        {"ready": "/\r\nX: y"},
        {"takes": [{**SAY, "most": 0}]},
        {"takes": [{**SAY, "most": 1 << 40}]},
        {"takes": [{**SAY, "content": "bytes"}]},
        {"takes": [{**SAY, "content": "xml"}]},
        {"takes": [{**SAY, "same": []}]},
        {"takes": [SAY, SAY]},
        {"takes": [{**SAY, "path": "/decoy"}]},
        {"guardrail": {"path": "/say"}},
        {"type": "intake/v2"},
        {"more": 1},
    ],
)
def test_near_misses_of_an_intake(tmp_path, spoiled):
    with pytest.raises(VerificationError):
        intake_of(candidate(tmp_path, {"config/intake.json": {**INTAKE, **spoiled}}))


def test_a_release_has_one_intake_or_none(tmp_path):
    assert intake_of(candidate(tmp_path / "none", {"config/model.json": {}})) is None
    with pytest.raises(VerificationError, match="two intakes"):
        intake_of(candidate(tmp_path / "two", {"config/intake.json": INTAKE, "config/b/intake.json": INTAKE}))


def test_pointers_and_places():
    assert pointed({"a": [{"b~/c": 1}]}, "/a/0/b~0~1c") == 1
    assert pointed({"a": []}, "/a/0") is None
    assert pointed({"a": 1}, "/a/b") is None
    assert filled({"a": ["{text}", "not {text}"], "n": None}, "x") == {"a": ["x", "not {text}"], "n": None}


def test_a_role_that_nobody_has_is_tried_wherever_a_role_is():
    good = {"messages": [{"role": "user", "content": "Hello"}]}

    names = [name for name, _ in misfits(good, 1 << 20)]

    assert "/messages/0/role is a role that nobody has" in names
    assert "a member too many in /messages/0" in names
    assert len(names) == len(set(names))


def test_misfits_fit_into_what_is_taken():
    assert all(len(body) <= 64 for _, body in misfits({"a": "b"}, 64))


def test_the_texts_are_different_from_each_other():
    texts = [*guarded_texts()["attempts"], *guarded_texts()["ordinary"]]

    assert len(set(texts)) == len(texts) == 160
    assert all(text.isprintable() and len(text) < 400 for text in texts)
    assert len({output.text for output in outputs()}) == len(outputs())
