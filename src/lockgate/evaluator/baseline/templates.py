"""Do the chat templates of a release lay out a conversation, and nothing more? Each by the rules of the scanner.

Templates lie in `chat_template.jinja`, in `chat_template.json` and in `tokenizer_config.json`, alone or by name. They
are cut into tokens and never rendered.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from lockgate.core.release import Kind
from lockgate.core.tool import Loose, read_strictly
from lockgate.errors import VerificationError
from lockgate.evaluator.baseline.tells import orders_in, secrets_in
from lockgate.evaluator.candidate import MOST_TEXT, Candidate
from lockgate.evaluator.tried import Tried, all_of
from lockgate.scanner.chat_template import template_flaws

_MEMBER = "chat_template"
_OF_JSON = frozenset({"tokenizer_config.json", "chat_template.json", "processor_config.json"})


def chat_templates(candidate: Candidate) -> Iterator[Tried]:
    """Try each template of a release; a release without templates gives no case."""
    for where in candidate.of_kind(*Kind):
        path = PurePosixPath(where)
        try:
            if (
                path.suffix in (".jinja", ".j2")
                and Kind.PROMPT is not candidate.manifest.components[path.parts[0]].kind
            ):
                found = {where: candidate.text(where)}
            elif path.name in _OF_JSON:
                found = dict(_in_json(where, read_strictly(candidate.read(where), MOST_TEXT)))
            else:
                continue
        except VerificationError as e:
            yield Tried(where, str(e))
            continue
        yield from (all_of(name, _wrong_in(text)) for name, text in found.items())


def _in_json(where: str, document: Loose) -> Iterator[tuple[str, str]]:
    found = document.get(_MEMBER) if isinstance(document, dict) else None
    if isinstance(found, str):
        yield where, found
    elif isinstance(found, list):
        for each in found:
            named = each if isinstance(each, dict) else {}
            yield f"{where}: {str(named.get('name'))[:80]}", str(named.get("template", ""))
    elif isinstance(found, dict):
        yield from ((f"{where}: {name[:80]}", str(text)) for name, text in found.items())


def _wrong_in(text: str) -> Iterator[str]:
    yield from (f"{flaw.rule}: {flaw.text}" for flaw in template_flaws(text))
    yield from secrets_in(text)
    yield from (order for order in orders_in(text) if "speak as another role" not in order)
