"""Does the filter of a release clean what goes out, and leave the rest as it is?

A case of the corpus says what must be gone from a text, and what must still be there: a filter that answers with
nothing has cleaned nothing.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lockgate.evaluator.baseline.intake import Filtered, filled, pointed
from lockgate.evaluator.line import Line, SilentError, written_json
from lockgate.evaluator.tried import Tried, all_of
from lockgate.formats import plain

OUTPUTS = Path(__file__).with_name("outputs.json")


@dataclass(frozen=True, slots=True)
class Output:
    """A text that a model might say: what must not come out of it, and what must."""

    kind: str
    text: str
    gone: tuple[str, ...]
    stays: tuple[str, ...]


def outputs() -> tuple[Output, ...]:
    """Read the corpus."""
    return tuple(plain.from_plain(Output, case, "outputs") for case in json.loads(OUTPUTS.read_bytes()))


def dangerous_cleaned(filtered: Filtered, line: Line) -> Iterator[Tried]:
    """Try each dangerous text: what is dangerous in it must be gone, and only that."""
    yield from (_cleaned(filtered, line, output) for output in outputs() if output.gone)


def harmless_kept(filtered: Filtered, line: Line) -> Iterator[Tried]:
    """Try each harmless text: it must come out as it went in."""
    yield from (_cleaned(filtered, line, output) for output in outputs() if not output.gone)


def _cleaned(filtered: Filtered, line: Line, output: Output) -> Tried:
    case = f"{output.kind}: {output.text[:60]!a}"
    try:
        answer = line.ask(written_json(filtered.path, filled(filtered.send, output.text)))
        found = pointed(answer.document, filtered.reads) if answer.status == 200 else None
    except SilentError as e:
        return Tried(case, str(e))
    if not isinstance(found, str):
        return Tried(case, f"answered {answer.status}, and no text")
    return all_of(case, _wrong_in(found, output))


def _wrong_in(found: str, output: Output) -> Iterator[str]:
    lowered = found.lower()
    yield from (f"{each!a} is still there" for each in output.gone if each.lower() in lowered)
    yield from (f"{each!a} is gone" for each in output.stays if each.lower() not in lowered)
