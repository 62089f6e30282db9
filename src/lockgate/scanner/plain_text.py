"""Is this text that nobody would execute, and does it give nothing away?

Text is UTF-8 without control characters. Prose may show code; what begins like a program, or asks a reader of YAML or
XML to make objects, is none.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping

from lockgate.errors import VerificationError
from lockgate.scanner.chat_template import template_flaws
from lockgate.scanner.scanned import Flaw

MAX_BYTES = 1 << 28

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f]")
_PROSE = (".md", ".txt", ".rst", ".markdown", ".jinja", ".j2", ".vocab", ".merges", ".csv", ".tsv")
_SECRETS: Mapping[str, re.Pattern[str]] = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{34}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{82})\b"),
    "a GitLab token": re.compile(r"\bglpat-[A-Za-z0-9_-]{20}\b"),
    "an OpenAI key": re.compile(r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{20,200}T3BlbkFJ[A-Za-z0-9_-]{20}"),
    "an Anthropic key": re.compile(r"\bsk-ant-[a-z0-9]+-[A-Za-z0-9_-]{80,}"),
    "a Slack token": re.compile(r"\bxox[abprs]-[0-9A-Za-z-]{20,}"),
    "a Google key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a password in an address": re.compile(
        r"\b[a-z][a-z0-9+.-]{2,20}://[^\s/:@\"'<>{}$]{1,64}:[^\s/:@\"'<>{}$]{6,64}@[\w.-]+"
    ),
}
_HINTS = re.compile("PRIVATE KEY|AKIA|ASIA|hf_|gh[pousr]_|github_pat_|glpat-|sk-|xox|AIza|://")
_PROGRAM = re.compile(
    r"(?:import [A-Za-z_][\w.]*(?: as \w+)?(?:, *[A-Za-z_][\w.]*)*\s*(?:[#;].*)?$"
    r"|from [.\w]+ import |(?:async )?def \w+ *\(|class \w+ *[(:]|@\w[\w.]*(?:\(.*\))?$"
    r"|(?:exec|eval|__import__|print) *\(|require\(|module\.exports)"
)
_MARKUP = re.compile(r"<\?xml|<!doctype|<!entity|<svg\b|<html\b|<script\b", re.IGNORECASE)
_YAML_TAG = re.compile(r"(?:^|[\s\[{,:?-])!(?:[\w!<])", re.MULTILINE)
_PYTHON_TAG = re.compile(r"!!?<?(?:tag:yaml\.org,2002:)?python[/:]")
_YAML_WORDS: Mapping[str, str] = {
    "_target_": "hydra would make what it names",
    "auto_map": "code of the repository would be loaded",
    "class_path": "what it names would be imported and called",
    "custom_generate": "code of the repository would be loaded",
    "loader_module": "a module that it names would be imported",
    "py/object": "jsonpickle would make what it names",
}
_TARGET = re.compile(r"\btarget[\"']?\s*:\s*[\"']?[A-Za-z_]\w*(?:\.\w+)+")
_TRUST_CODE = re.compile(
    r"trust_remote_code[\"']?\s*[:=]\s*+(?!(?:false|no|off)[ \t]*(?:[,}\]#\r\n]|$))", re.IGNORECASE
)
_YAML_ESCAPE = re.compile(r"\"[^\"]*\\[^nrt\"\\/]")
_ALIAS = re.compile(r"(?:^|[\s\[{,:-])\*[\w-]+", re.MULTILINE)
_ANCHOR = re.compile(r"(?:^|[\s\[{,:-])&[\w-]+", re.MULTILINE)


def read_text(view: memoryview) -> str | None:
    """Return the content as text; None if it is none."""
    if len(view) > MAX_BYTES:
        return None
    if _CONTROL.search(view):
        return None
    try:
        return str(view, "utf-8")
    except UnicodeDecodeError:
        return None


def text_flaws(text: str, suffix: str) -> Iterator[Flaw]:
    """Yield what is wrong with text that is no JSON, in a file whose name ends with `suffix`."""
    yield from secrets_in(text)
    yield from _program_flaws(text)
    if found := _MARKUP.match(text.lstrip("\ufeff \t\r\n")):
        yield Flaw("markup", f"begins with {found.group()}: markup is not among what is accepted")
    elif "<!ENTITY" in text:
        yield Flaw("markup", "declares an XML entity")
    if suffix == ".toml":
        yield from _toml_flaws(text)
        yield from _word_flaws(text)
    elif suffix not in _PROSE:
        yield from _yaml_flaws(text)
    if _PYTHON_TAG.search(text):
        yield Flaw("yaml-tag", "a tag asks for a Python object")
    is_template = suffix in (".jinja", ".j2")
    if is_template or "{%" in text or "{{" in text:
        yield from template_flaws(text, is_template=is_template)


def secrets_in(text: str) -> Iterator[Flaw]:
    """Yield which kinds of secrets are in a text, never what they are."""
    if _HINTS.search(text):
        for what, pattern in _SECRETS.items():
            if found := pattern.search(text):
                line = text.count("\n", 0, found.start()) + 1
                yield Flaw("secret", f"line {line} holds {what}")


def _program_flaws(text: str) -> Iterator[Flaw]:
    if text.startswith("#!"):
        yield Flaw("script", f"begins with {text.partition(chr(10))[0][:60]!a}", "script")
        return
    lines = (line.strip() for line in text.lstrip("\ufeff").splitlines()[:200])
    first = next((line for line in lines if line and not line.startswith(("#", '"""', "'''"))), "")
    if found := _PROGRAM.match(first):
        yield Flaw("python", f"begins like a program: {found.group()[:60]!a}", "python")


def _toml_flaws(text: str) -> Iterator[Flaw]:
    try:
        tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as e:
        yield Flaw("toml", f"is no TOML: {str(e)[:100]}")


def _word_flaws(text: str) -> Iterator[Flaw]:
    for word, why in _YAML_WORDS.items():
        if word in text:
            yield Flaw("repository", f"{word}: {why}")
    if _TRUST_CODE.search(text):
        yield Flaw("repository", "trust_remote_code is not false")


def _yaml_flaws(text: str) -> Iterator[Flaw]:
    if found := _YAML_TAG.search(text):
        yield Flaw("yaml-tag", f"line {text.count(chr(10), 0, found.start()) + 1} has a tag")
    yield from _word_flaws(text)
    if found := _TARGET.search(text):
        yield Flaw("repository", f"{found.group()[:60]}: what it names would be imported and called")
    if _YAML_ESCAPE.search(text):
        yield Flaw("yaml-escape", "a name or text is hidden by escapes")
    if _ANCHOR.search(text) and (aliases := len(_ALIAS.findall(text))) > 20:
        yield Flaw("yaml-alias", f"{aliases} aliases: what it says may grow without bound")


def check_size(view: memoryview) -> None:
    """Raise `VerificationError` for more text than is looked at."""
    if len(view) > MAX_BYTES:
        raise VerificationError(f"has {len(view)} bytes, more than the {MAX_BYTES} of text that are looked at")
