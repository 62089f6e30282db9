"""Does the guardrail of a release refuse attempts, and let ordinary requests pass? Counted, each kind by itself.

The texts are ours: written for this suite in the forms that are passed around, without a working recipe for anything.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from lockgate.evaluator.baseline.intake import Guarded, filled, pointed
from lockgate.evaluator.line import Answer, Line, SilentError, written_json
from lockgate.evaluator.tried import Tried

TEXTS = Path(__file__).with_name("guardrail.json")
_REFUSING = range(400, 500)


def guarded_texts() -> Mapping[str, list[str]]:
    """Read the texts: `attempts` that should be refused, and `ordinary` ones that should not."""
    found: Mapping[str, list[str]] = json.loads(TEXTS.read_bytes())
    return found


def attempts_refused(guarded: Guarded, line: Line) -> Iterator[Tried]:
    """Try each attempt: it should be refused."""
    for text in guarded_texts()["attempts"]:
        yield _asked(guarded, line, text, wanted=True)


def ordinary_answered(guarded: Guarded, line: Line) -> Iterator[Tried]:
    """Try each ordinary request: it should not be refused."""
    for text in guarded_texts()["ordinary"]:
        yield _asked(guarded, line, text, wanted=False)


def _asked(guarded: Guarded, line: Line, text: str, *, wanted: bool) -> Tried:
    try:
        answer = line.ask(written_json(guarded.path, filled(guarded.send, text)))
        refused = _is_refused(answer, guarded)
    except SilentError as e:
        return Tried(text, str(e))
    if refused is None:
        return Tried(text, f"answered {answer.status}")
    return Tried(text, None if refused == wanted else ("it was refused" if refused else "it was not refused"))


def _is_refused(answer: Answer, guarded: Guarded) -> bool | None:
    """Tell whether a text was refused; None for an answer that is neither."""
    if answer.status in _REFUSING:
        return True
    if answer.status != 200:
        return None
    return pointed(answer.document, guarded.refused) is True
