"""Do the prompts of a release say what they should? Each placeholder declared and used, no secret, nothing unpinned.

A prompt is a text file of a component of kind `prompt`. Its placeholders are `$name`, `${name}`, `{name}` or
`{{ name }}`; `variables.json` beside it says which there are, and by which of the three signs they are known:

    {"syntax": "$", "variables": {"quote.txt": ["title", "page", "text"], "refused.txt": []}}
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from lockgate.core.release import Kind
from lockgate.errors import VerificationError
from lockgate.evaluator.baseline.tells import orders_in, secrets_in, unseen_in
from lockgate.evaluator.candidate import Candidate
from lockgate.evaluator.tried import Tried, all_of
from lockgate.formats import plain

DECLARED = "variables.json"
TEXTS = frozenset({".txt", ".md", ".prompt", ".j2", ".jinja", ".tmpl", ".mustache", ".yaml", ".yml", ".toml", ""})
_FORMS: Mapping[str, re.Pattern[str]] = {
    "$": re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))"),
    "{": re.compile(r"(?<!\{)\{([A-Za-z_][\w.]*)\}(?!\})"),
    "{{": re.compile(r"\{\{-?\s*([A-Za-z_][\w.]*)\s*(?:\|[^{}]*)?-?\}\}"),
}
_INCLUDES = re.compile(
    r"\{%-?\s*(?:include|import|from|extends)\b[^%]*|\{\{>\s*[^}]+\}\}|^\s*(?:#include|@import|!include)\b.*$"
    r"|https?://[^\s\"'<>)\]]+",
    re.MULTILINE,
)
_PINNED = re.compile(r"sha256[:=-][0-9a-f]{64}|/[0-9a-f]{40}(?:/|$)")


@dataclass(frozen=True, slots=True)
class Variables:
    """What `variables.json` says."""

    syntax: Literal["$", "{", "{{"]
    variables: Mapping[str, tuple[str, ...]]


def prompt_lint(candidate: Candidate) -> Iterator[Tried]:
    """Try each rule on each prompt of a release; a release without prompts gives no case."""
    for where in candidate.of_kind(Kind.PROMPT):
        path = PurePosixPath(where)
        if path.suffix not in TEXTS:
            continue
        try:
            text = candidate.text(where)
        except VerificationError as e:
            yield Tried(where, str(e))
            continue
        yield all_of(f"{where}: variables", _undeclared(candidate, path, text))
        yield all_of(f"{where}: secrets", secrets_in(text))
        yield all_of(f"{where}: includes", unpinned_in(text))
        yield all_of(f"{where}: orders", orders_in(text))
        yield all_of(f"{where}: characters", unseen_in(text))


def used_in(text: str, syntax: str) -> set[str]:
    """List the placeholders of a prompt."""
    return {next(filter(None, found.groups())) for found in _FORMS[syntax].finditer(text)}


def unpinned_in(text: str) -> Iterator[str]:
    """Name what a prompt takes from elsewhere without saying by digest, or by commit, what that is."""
    for found in _INCLUDES.finditer(text):
        if not _PINNED.search(found.group()):
            yield f"it takes in what is not pinned: {found.group().strip()[:60]!a}"


def _undeclared(candidate: Candidate, path: PurePosixPath, text: str) -> Iterator[str]:
    component = path.parts[0]
    said = f"{component}/{DECLARED}"
    if said not in candidate.of_kind(Kind.PROMPT):
        placeholders = sorted(name for syntax in _FORMS for name in used_in(text, syntax))
        if placeholders:
            yield f"it has a place for {placeholders[0]}, and no {DECLARED} declares it"
        return
    try:
        declared = plain.decode(Variables, candidate.read(said))
    except VerificationError as e:
        yield str(e)
        return
    name = str(path.relative_to(component))
    if name not in declared.variables:
        yield f"{DECLARED} does not name it"
        return
    yield from _compared(used_in(text, declared.syntax), declared.variables[name])


def _compared(used: set[str], declared: Iterable[str]) -> Iterator[str]:
    wanted = set(declared)
    yield from (f"it uses {name}, which is not declared" for name in sorted(used - wanted))
    yield from (f"it is declared to use {name}, and does not" for name in sorted(wanted - used))
