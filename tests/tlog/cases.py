"""Which cases are in a file of `tests/vectors/tlog`? How they are written is said at the head of each file."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lockgate.errors import VerificationError
from lockgate.tlog.note import NoteVerifier

FOLDER = Path(__file__).parents[1] / "vectors" / "tlog"


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    fields: dict[str, str]
    keys: tuple[NoteVerifier, ...]
    content: bytes


def cases(file: str) -> list[object]:
    _, *blocks = re.split(r"^== ", (FOLDER / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
    read = [_case(block) for block in blocks]
    assert read, "a file of vectors has cases"
    return [pytest.param(case, id=case.name.replace(" ", "-")) for case in read]


def judge(case: Case, accept: Callable[[], object]) -> None:
    """Ask for the verdict that the case wants."""
    if case.fields["want"] == "ok":
        accept()
    else:
        with pytest.raises(VerificationError, match=re.escape(case.fields["want"])):
            accept()


def _case(block: str) -> Case:
    name, *lines = block.split("\n")
    pairs = [line.split(": ", 1) for line in lines if line and not line.startswith("|")]
    keys = tuple(NoteVerifier.parse(value) for key, value in pairs if key == "key")
    content = "".join(line[2:] + "\n" for line in lines if line.startswith("|"))
    return Case(name, dict(pairs), keys, _bytes(content))


def _bytes(content: str) -> bytes:
    escaped = re.compile(rb"\\(x[0-9a-f]{2}|\\|\n)")

    def byte(found: re.Match[bytes]) -> bytes:
        code = found.group(1)
        return b"\\" if code == b"\\" else b"" if code == b"\n" else bytes.fromhex(code[1:].decode())

    return escaped.sub(byte, content.encode())
