"""Would this chat template do more than lay out a conversation? Cut into tokens, never rendered.

    {{ expression }}   {% statement %}   {# comment #}   everything else is text

Statements, filters, functions and methods are those that published templates use; others are refused. A template that
looks for words in what was said, and then says something itself, is the known way to poison one: that needs a person.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import gt

from lockgate.errors import VerificationError
from lockgate.scanner.scanned import Flaw
from lockgate.scanner.template_tokens import Token, blocks_of
from lockgate.scanner.template_use import use_flaws

MAX_CHARACTERS = 1 << 18
_MOST = (3_000, 400, 100)  # blocks, tokens in one, macros
_MOST_ROUNDS = 10


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STATEMENTS = _words(
    "if elif else endif for endfor set endset macro endmacro call endcall filter endfilter break continue "
    "generation endgeneration raw endraw with endwith"
)
_LOADS = {"import", "from", "include", "extends", "block", "endblock"}
_FILTERS = _words(
    "abs batch capitalize count d default dictsort e escape first float from_json fromjson indent int items join "
    "last length list lower map max min reject rejectattr replace reverse round safe select selectattr sort "
    "string sum title tojson trim unique upper wordcount"
)
_FUNCTIONS = {"range", "namespace", "raise_exception", "strftime_now", "dict", "caller", "loop"}
_METHODS = _words(
    "append capitalize count endswith find get index isalpha isdigit isspace items join keys lower lstrip "
    "removeprefix removesuffix replace rfind rindex rsplit rstrip split splitlines startswith strftime strip "
    "title upper values"
)
_NAMES = _words(
    "self lipsum cycler joiner popen subprocess os sys builtins globals getattr setattr eval exec compile open "
    "mro import_module subclasses format format_map func_globals gi_frame cr_frame f_globals"
)
_KNOWN = _words(
    "arguments assistant audio content data developer document documents file file_id function human id image "
    "image_url input_audio input_image input_text ipython model name object observation output output_text "
    "parameters reasoning reasoning_content refusal result role source string system text thinking title tool "
    "tool_call tool_call_id tool_calls tool_response tool_result tool_use type url user video video_url "
    "/think /no_think /nothink"
)
_SAID = {"content", "text"}
_WHOLE = {"string", "tojson", "join", "map", "values", "items"}
_BOUNDS = _words("and or not if elif else is in == != < > <= >= , set = :")
_LOOKS = {"startswith", "endswith", "find", "rfind", "index", "rindex", "count"}
_WORDY = re.compile(r"[^\W\d_]{3}")
_MARKED = re.compile(r"\s*(?:<[^<>]*>|\[[^\[\]]*\])\s*")


def template_flaws(text: str, *, is_template: bool = True) -> Iterator[Flaw]:
    """Yield what a template does beyond laying out. Where `is_template` is False, it is prose: braces mean nothing."""
    if len(text) > MAX_CHARACTERS and is_template:
        yield Flaw("template", f"has {len(text)} characters, more than {MAX_CHARACTERS}")
        return
    blocks: list[list[Token]] = []
    try:
        blocks += blocks_of(text)
    except VerificationError as e:
        if is_template:
            yield Flaw("template", str(e))
    if not is_template:
        yield from dict.fromkeys([*use_flaws(blocks, set()), *(flaw for block in blocks for flaw in _forbidden(block))])
        return
    macros = {block[1].text for block in blocks if len(block) > 1 and block[0].text == "%macro"}
    sizes = (len(blocks), max(map(len, blocks), default=0), len(macros))
    said = None if any(map(gt, sizes, _MOST)) else _said_in(blocks, macros)
    if said is None:
        yield Flaw("template", f"is too large or entangled to be judged: {sizes} blocks, tokens, macros")
        return
    found: dict[Flaw, None] = dict.fromkeys(use_flaws(blocks, macros))
    for block in blocks:
        found |= dict.fromkeys(_block_flaws(block, macros, said))
    yield from found


def _block_flaws(block: list[Token], macros: set[str], said: set[str]) -> Iterator[Flaw]:
    yield from _forbidden(block)
    yield from _calls(block, macros)
    yield from _triggers(block, said)
    first = block[0].text if block else ""
    if first.startswith("%"):
        word = first[1:]
        if word in _LOADS:
            yield Flaw("template-import", f"loads another template: {word}")
        elif word not in _STATEMENTS:
            yield Flaw("template", f"has the statement {word[:40]!a}")


def _forbidden(block: Sequence[Token]) -> Iterator[Flaw]:
    glued = any(token.text in {"~", "+", "%", "join", "format", "replace", "reverse"} for token in block)
    for number, token in enumerate(block):
        before = block[number - 1] if number else Token("op", "")
        if token.kind == "name" and (_is_forbidden(before.text, token.text) or _is_seed(block, number)):
            yield Flaw("template-attribute", f"reaches for {token.text[:60]!a}")
        elif token.kind == "string" and (_hides(token.text, glued=glued) or _is_seed(block, number)):
            yield Flaw("template-attribute", f"writes a name with underscores as text: {token.text[:60]!a}")


def _is_forbidden(before: str, name: str) -> bool:
    return "__" in name or name in _NAMES or (before == "." and name[0] == "_") or (before == "|" and name == "attr")


def _is_seed(block: Sequence[Token], number: int) -> bool:
    """Tell whether underscores stand alone, to be multiplied later: as a text, or as the name of an argument."""
    if block[number].text.strip("_"):
        return False
    if block[number].kind == "name":
        return block[0].text not in {"%set", "%for"} and [token.text for token in block[number + 1 : number + 2]] == [
            "="
        ]
    calls = [token.text for token in block[max(0, number - 4) : number] if token.kind == "name"]
    return bool(block[number].text) and not {"replace", "split", "rsplit", "strip", "lstrip", "rstrip"} & set(calls)


def _hides(text: str, *, glued: bool) -> bool:
    if "__" in text or "%c" in text:
        return True
    return glued and len(text) < 40 and (text.startswith("_") or text.endswith("_"))


def _calls(block: Sequence[Token], macros: set[str]) -> Iterator[Flaw]:
    padded = [Token("op", ""), *block, Token("op", "")]
    defined = block[1:2] if block and block[0].text == "%macro" else []
    for before, token, after in zip(padded, block, padded[2:], strict=False):
        if token.kind != "name" or token in defined:
            continue
        if before.text == "|" and token.text not in _FILTERS:
            yield Flaw("template", f"has the filter {token.text[:40]!a}")
        elif before.text == "." and after.text == "(" and token.text not in _METHODS:
            yield Flaw("template", f"calls the method {token.text[:40]!a}")
        elif (
            after.text == "("
            and before.text not in {"|", ".", "is"}
            and token.text not in _FUNCTIONS | macros | _BOUNDS
        ):
            yield Flaw("template", f"calls {token.text[:40]!a}")


def _said_in(blocks: Sequence[Sequence[Token]], macros: set[str]) -> set[str] | None:
    """Find which names hold what was said, until there are no more of them; None: there is no end of it."""
    said = set(_SAID)
    for _ in range(_MOST_ROUNDS):
        before = len(said)
        given = {name for block in blocks for name in _given(block, macros, said)}
        for block in blocks:
            _taint(block, given, said)
        if len(said) == before:
            return said
    return None


def _given(block: Sequence[Token], macros: set[str], said: set[str]) -> Iterator[str]:
    """Yield which macros are called with what was said."""
    for at, (token, after) in enumerate(pairwise(block)):
        is_call = token.text in macros and after.text == "("
        if is_call and _is_said(_operand(block, at + 2, 1, bounds=frozenset()), said):
            yield token.text


def _taint(block: Sequence[Token], given: set[str], said: set[str]) -> None:
    """Remember names that are assigned from what was said, loop over it, or are given to a macro."""
    word = block[0].text if block else ""
    if word == "%macro":
        if block[1:] and block[1].text in given:
            said |= {token.text for token in block[2:] if token.kind == "name"}
    elif word == "%for":
        at = next((number for number, token in enumerate(block) if token.text == "in"), len(block))
        if _is_said(block[at:], said):
            said |= {token.text for token in block[1:at] if token.kind == "name"}
    elif _is_said(block, said):
        said |= {token.text for token, after in pairwise(block) if token.kind == "name" and after.text == "="}


def _triggers(block: Sequence[Token], said: set[str]) -> Iterator[Flaw]:
    if (
        block
        and block[0].text in {"%if", "%elif"}
        and ("strftime_now", "(") in pairwise([token.text for token in block])
    ):
        yield Flaw("template-trigger", "decides by the date", "chat-template")
    for number, token in enumerate(block):
        if token.kind == "string" and _is_wordy(token.text) and _is_looked_for(block, number, said):
            yield Flaw("template-trigger", f"looks for {token.text[:40]!a} in what is said", "chat-template")


def _is_wordy(text: str) -> bool:
    return bool(_WORDY.search(text)) and not _MARKED.fullmatch(text) and text not in _KNOWN


def _is_looked_for(block: Sequence[Token], number: int, said: set[str]) -> bool:
    texts = [token.text for token in block]
    before, after = texts[number - 1] if number else "", texts[number + 1 : number + 3]
    if before in {"==", "!="}:
        return _is_said(_operand(block, number - 2, -1), said)
    if after[:1] in (["=="], ["!="], ["in"]):
        return _is_said(_operand(block, number + 2, 1), said)
    if after == ["not", "in"]:
        return _is_said(_operand(block, number + 3, 1), said)
    if (listed := _in_list(texts, number)) is not None:
        return _is_said(_operand(block, listed, -1), said)
    if before == "(" and number >= 3 and texts[number - 2] in _LOOKS and texts[number - 3] == ".":
        return _is_said(_operand(block, number - 4, -1), said)
    return False


def _in_list(texts: Sequence[str], number: int) -> int | None:
    """Return where the operand ends that is looked for in a list, in which the text `number` is."""
    while number and texts[number - 1] not in {"[", "("}:
        number -= 1
        if texts[number - 1] != "," and texts[number] != ",":
            return None
    before = texts[number - 2] if number >= 2 else ""
    if before != "in":
        return None
    return number - 4 if number >= 3 and texts[number - 3] == "not" else number - 3


def _operand(block: Sequence[Token], at: int, step: int, bounds: frozenset[str] = _BOUNDS) -> list[Token]:
    """Take the tokens from `at` on, to one side, up to where another part of the expression begins."""
    opening, closing = ("([{", ")]}") if step > 0 else (")]}", "([{")
    taken: list[Token] = []
    depth = 0
    while 0 <= at < len(block):
        token = block[at]
        if token.kind == "op" and token.text in opening:
            depth += 1
        elif token.kind == "op" and token.text in closing:
            depth -= 1
        if depth < 0 or (depth == 0 and token.kind != "string" and token.text.lstrip("%") in bounds):
            break
        taken.append(token)
        at += step
    return taken


def _is_said(tokens: Sequence[Token], said: set[str]) -> bool:
    texts = {token.text for token in tokens if token.kind in {"name", "string"}}
    return bool(texts & said) or bool(texts & {"message", "messages"} and texts & _WHOLE)
