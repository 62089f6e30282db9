"""Of which blocks is a template made, and each of which words?"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lockgate.errors import VerificationError

_OPEN = re.compile(r"\{\{|\{%|\{#")
_TOKEN = re.compile(
    r"\s+|(?P<name>[^\W\d]\w*)|(?P<number>\d[\w.]*)"
    r"|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<op>\*\*|//|[=!<>]=|[-+*/%~|()\[\]{}.,:;=<>])",
    re.DOTALL,
)
_ENDRAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(N)\{|(.))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a number, a text or a mark of an expression."""

    kind: str
    text: str


def blocks_of(text: str) -> Iterator[list[Token]]:
    """Cut the text; the first token of a statement is its word after a %."""
    at = 0
    while found := _OPEN.search(text, at):
        at = found.end()
        if found.group() == "{#":
            at = _after(text, "#}", at)
            continue
        end = "}}" if found.group() == "{{" else "%}"
        tokens, at = _tokens(text, at, end)
        if end == "%}":
            if not tokens or tokens[0].kind != "name":
                raise VerificationError("a statement begins with no word")
            word = tokens[0].text
            if word == "raw":
                raw = _ENDRAW.search(text, at)
                if raw is None:
                    raise VerificationError("raw has no end")
                at = raw.end()
            tokens[0] = Token("statement", f"%{word}")
        yield tokens


def _after(text: str, mark: str, at: int) -> int:
    end = text.find(mark, at)
    if end < 0:
        raise VerificationError(f"a comment has no {mark}")
    return end + len(mark)


def _tokens(text: str, at: int, end: str) -> tuple[list[Token], int]:
    tokens: list[Token] = []
    depth = 0
    if text[at : at + 1] in ("-", "+"):
        at += 1
    while True:
        if depth <= 0:
            for mark in (end, f"-{end}", f"+{end}"):
                if text.startswith(mark, at):
                    return tokens, at + len(mark)
        found = _TOKEN.match(text, at)
        if found is None:
            raise VerificationError(f"no template: {text[at : at + 20]!a} at character {at}")
        at = found.end()
        if found.lastgroup is None:
            continue
        depth += {"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}.get(found.group(), 0)
        tokens.append(Token(found.lastgroup, _decoded(found.group()) if found.lastgroup == "string" else found.group()))


def _decoded(literal: str) -> str:
    def letter(found: re.Match[str]) -> str:
        if found.group(6):
            return {"n": "\n", "t": "\t", "r": "\r"}.get(found.group(6), found.group(6))
        digits = found.group(1) or found.group(2) or found.group(3)
        if found.group(5):
            return "__"  # a letter by its name: nobody needs that
        number = int(digits, 16) if digits else int(found.group(4), 8)
        return chr(number) if number <= 0x10FFFF else "__"

    return _ESCAPE.sub(letter, literal[1:-1])
