"""What does another scanner say? A command that prints its findings as JSON, and that can only deny.

    {"scanner": "modelaudit", "version": "0.2.54", "files": 12, "findings": [{"file": "model.bin", "text": "…"}]}

It must end with 0, in time, and have looked at as many files as we did. A crash, a hang, garbage, or "0 files" is a
finding like any other. It gets no secret of ours: an environment of its own, and nothing on its standard input.
"""

import os
import re
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lockgate.errors import VerificationError
from lockgate.scanner.json_text import Value, read_json
from lockgate.scanner.scanned import Finding, Scan

PATIENCE = 600.0
_TO_END = 5.0  # seconds, once it has closed its output
_MOST_OUTPUT = 16 << 20
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VERSION = re.compile(r"[\w.+-]{1,64}")


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a second scanner found, or why it is not believed."""

    scanner: str
    version: str
    findings: tuple[Finding, ...]


def ask(command: str, folder: Path, files: int, *, seconds: float = PATIENCE) -> Opinion:
    """Run `command` with the folder as its last word; `files` is how many it must have looked at."""
    words = _words(command)
    named = Path(words[0]).name if words else "nothing"
    name = named if _NAME.fullmatch(named) else "second"
    try:
        if not words:
            raise VerificationError("no command")
        return _read(_run([*words, str(folder.resolve())], seconds), files)
    except VerificationError as e:
        return Opinion(name, "unknown", (Finding(".", "second-scanner", f"{name}: {e}"),))


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []


def joined(scan: Scan, opinion: Opinion) -> Scan:
    """Add what a second scanner found to what ours did."""
    return replace(scan, findings=tuple(sorted({*scan.findings, *opinion.findings})))


def _run(command: list[str], seconds: float) -> bytes:
    try:
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except (OSError, ValueError) as e:
        raise VerificationError(f"cannot be started: {e}") from e
    try:
        output = _collect(started, time.monotonic() + seconds)
        code = started.wait(timeout=min(_TO_END, seconds))
    except subprocess.TimeoutExpired as e:
        raise VerificationError("closed its output and did not end") from e
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        assert started.stdout is not None
        started.stdout.close()
    if code:
        raise VerificationError(f"ended with {code}")
    return output


def _collect(started: "subprocess.Popen[bytes]", until: float) -> bytes:
    assert started.stdout is not None
    output, descriptor = bytearray(), started.stdout.fileno()
    while (left := until - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            break
        piece = os.read(descriptor, 1 << 16)
        if not piece:
            return bytes(output)
        output += piece
        if len(output) > _MOST_OUTPUT:
            raise VerificationError(f"printed more than {_MOST_OUTPUT} bytes")
    raise VerificationError("did not end in time")


def _read(output: bytes, files: int) -> Opinion:
    said = read_json(output)
    if not isinstance(said, dict) or said.keys() != {"scanner", "version", "files", "findings"}:
        raise VerificationError("printed no object of scanner, version, files and findings")
    name, version, found = said["scanner"], said["version"], said["findings"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise VerificationError("gave itself a name that is none")
    if not isinstance(version, str) or not _VERSION.fullmatch(version) or not isinstance(found, list):
        raise VerificationError("gave a version or findings that are none")
    findings = [*_findings(name, found)]
    if type(said["files"]) is not int or said["files"] != files:
        findings.append(Finding(".", "second-scanner", f"{name}: looked at {said['files']!a:.20} files, not {files}"))
    return Opinion(name, version, tuple(findings))


def _findings(name: str, found: list[Value]) -> Iterator[Finding]:
    for each in found:
        if not isinstance(each, dict) or not {"file", "text"} <= each.keys():
            raise VerificationError("printed a finding without a file or a text")
        yield Finding(str(each["file"])[:500], "second-scanner", f"{name}: {str(each['text'])[:500]}")
