"""What does a template reach for by a name that it computes? Nothing that is built may be a key or an attribute.

Underscores cannot be hunted: `'tool_calls'[4]` is one. So the rule is about use. A key is a text as it stands, a
whole number, a slice, or a name that never held anything built: glued, formatted, filtered, captured, or got by a call.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise

from lockgate.scanner.scanned import Flaw
from lockgate.scanner.template_tokens import Token

_KEEPING = frozenset(
    ["dictsort", "items", "length", "count", "list", "int", "sort", "reverse", "unique", "first", "last"]
)
_KEPT_CALLS = {"items", "keys", "values", "range", "namespace", "dictsort"}
_VALUES = {"range", "namespace", "raise_exception", "strftime_now", "dict"}
_BY_ATTRIBUTE = {"map", "selectattr", "rejectattr", "select", "reject"}
_WORDS = {"in", "not", "and", "or", "if", "else", "is", "%if", "%elif", "%for", "%set"}
_MOST_ROUNDS = 10
_NONE = Token("op", "")

Block = Sequence[Token]


def use_flaws(blocks: Sequence[Block], macros: AbstractSet[str]) -> Iterator[Flaw]:
    """Yield where something that is computed is used as a name."""
    built = _built(blocks, macros)
    for block in blocks:
        yield from _subscripts(block, built)
        yield from _attributes(block)
        yield from _functions(block, macros)


def _subscripts(block: Block, built: AbstractSet[str]) -> Iterator[Flaw]:
    for at, (before, token) in enumerate(pairwise([_NONE, *block])):
        is_value = (before.kind in {"name", "string"} and before.text not in _WORDS) or before.text in {")", "]", "}"}
        if token.text == "[" and token.kind == "op" and is_value:
            inside = _inside(block, at)
            if before.kind == "string" or not _is_key(inside, built):
                yield Flaw("template-attribute", "computes the name by which it reaches for something")
            if block[at + len(inside) + 2 : at + len(inside) + 3] == [Token("op", "(")]:
                yield Flaw("template-attribute", "calls what it reached by a key")
        if token.text == "(" and token.kind == "op" and before.text in {")", "]"} and before.kind == "op":
            yield Flaw("template-attribute", "calls what a call gave")


def _inside(block: Block, at: int) -> Block:
    """Take what stands between the bracket at `at` and the one that closes it."""
    depth = 0
    for number in range(at, len(block)):
        if block[number].kind == "op":
            depth += {"[": 1, "(": 1, "{": 1, "]": -1, ")": -1, "}": -1}.get(block[number].text, 0)
        if depth == 0:
            return block[at + 1 : number]
    return block[at + 1 :]


def _is_key(inside: Block, built: AbstractSet[str]) -> bool:
    texts = [token.text for token in inside]
    if len(inside) == 1 and inside[0].kind == "string":
        return not (texts[0].startswith("_") or texts[0].endswith("_"))
    if ":" in texts and not {"{", "[", "("} & set(texts):
        return True  # a slice of a text is a text, and of nothing else a name
    return _is_kept(inside, built) and not any(token.kind == "string" for token in inside)


def _built(blocks: Sequence[Block], macros: AbstractSet[str]) -> AbstractSet[str]:
    """Find the names that ever held something built."""
    sources: list[tuple[str, Block]] = [pair for block in blocks for pair in _sources(block)]
    parameters = {
        block[1].text: [token.text for token in block[2:] if token.kind == "name"]
        for block in blocks
        if len(block) > 1 and block[0].text == "%macro"
    }
    sources += [pair for block in blocks for pair in _given(block, macros, parameters)]
    built: set[str] = set()
    for _ in range(_MOST_ROUNDS):
        found = {name for name, source in sources if not _is_kept(source, built)}
        if found <= built:
            return built
        built |= found
    return built | {name for name, _ in sources}


def _sources(block: Block) -> Iterator[tuple[str, Block]]:
    word = block[0].text if block else ""
    texts = [token.text for token in block]
    if word == "%for" and "in" in texts:
        at = texts.index("in")
        yield from ((token.text, block[at + 1 :]) for token in block[1:at] if token.kind == "name")
    elif word == "%set" and "=" not in texts:
        yield from ((token.text, [Token("op", "~")]) for token in block[1:] if token.kind == "name")
    else:
        for at, (token, after) in enumerate(pairwise(block)):
            if token.kind == "name" and after.text == "=":
                yield token.text, block[at + 2 :]


def _given(block: Block, macros: AbstractSet[str], parameters: Mapping[str, list[str]]) -> Iterator[tuple[str, Block]]:
    if block and block[0].text == "%macro":
        return
    for at, (token, after) in enumerate(pairwise(block)):
        if token.text in macros and after.text == "(":
            inside = _inside(block, at + 1)
            yield from ((name, inside) for name in parameters.get(token.text, []))


def _is_kept(source: Block, built: AbstractSet[str]) -> bool:
    """Tell whether a value is taken as it is, or counted: nothing in it glues, and no filter or call makes text."""
    padded = [_NONE, *source, _NONE]
    for before, token, after in zip(padded, source, padded[2:], strict=False):
        if token.kind == "op" and token.text in {"~", "*", "%"}:
            return False
        if token.kind == "op" and token.text == "+" and "number" not in {before.kind, after.kind}:
            return False
        if token.kind == "name" and not _keeps(before.text, token.text, after.text, built):
            return False
    return True


def _keeps(before: str, name: str, after: str, built: AbstractSet[str]) -> bool:
    if before == "|":
        return name in _KEEPING
    if after == "(":
        return name in _KEPT_CALLS or name in _WORDS
    return name not in built


def _attributes(block: Block) -> Iterator[Flaw]:
    """Judge filters that take the name of an attribute: it must stand there as text."""
    for number, token in enumerate(block):
        is_filter = token.text in _BY_ATTRIBUTE and number and block[number - 1].text == "|"
        at = number + 2 if is_filter else number + 2 if token.text == "attribute" else None
        if at is None or [each.text for each in block[number + 1 : number + 2]] not in (["("], ["="]):
            continue
        first, after = ([*block[at : at + 2], _NONE, _NONE])[:2]
        is_plain = first.kind == "string" and after.text in {",", ")"}
        if not is_plain and not (is_filter and after.text == "="):
            yield Flaw("template-attribute", f"computes what {token.text} reaches for")
        if token.text == "map" and first.text == "attr":
            yield Flaw("template-attribute", "reaches for 'attr'")


def _functions(block: Block, macros: AbstractSet[str]) -> Iterator[Flaw]:
    """Judge functions that are not called: they are ways to what they were made of."""
    for before, token, after in zip([_NONE, *block], block, [*block[1:], _NONE], strict=False):
        is_free = token.kind == "name" and before.text not in {".", "|", "%macro", "%call"}
        if is_free and token.text in _VALUES | macros and after.text not in {"(", "is", "="}:
            yield Flaw("template-attribute", f"uses {token.text[:40]!a} without calling it")
