"""How does a candidate serve while it is tested? As its manifest says, in a sandbox, on the bytes that were compared.

    folder of the candidate ──read-only──▶ /in/model ──▶ {python} -m server --model {model} --port {port}
                                                            │ loopback of its own, and nothing else
    whoever tests ◀── one unix socket ◀── relay ◀───────────┘

The runner laid the files out, compared them, and starts the command itself: so what answers at the socket is the
release, and the result may say so. What a binding would grant is shown at `/in/bindings`, if whoever tests has it.
"""

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lockgate.core.release import Serve
from lockgate.errors import VerificationError
from lockgate.evaluator.candidate import Candidate
from lockgate.evaluator.line import GoneError, Line, SilentError, written
from lockgate.evaluator.sandbox import Job, Limits, Outcome, Sandbox

PORT = 8080
START_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_ASK_SECONDS = 2.0
_PLACE = re.compile(r"\{(model|port|python|bindings|file:[^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a candidate gets beside its files: a folder of what bindings grant, and ports that lead outside.

    `python` is that of a sandbox which brings the harness along; in `workshop` it sees what is written for it.
    """

    limits: Limits = field(default_factory=Limits)
    bindings: Path | None = None
    reach: Mapping[int, Path] = field(default_factory=dict)
    python: str | None = None
    workshop: Path | None = None


@dataclass(slots=True)
class Standing:
    """A candidate that serves, or did."""

    line: Line
    isolation: tuple[str, ...]
    outcome: Outcome | None = None


class FellError(Exception):
    """The candidate did not come to answer."""


@contextmanager
def standing(candidate: Candidate, sandbox: Sandbox, around: Surroundings, ready: str) -> Iterator[Standing]:
    """Serve a candidate as long as the block runs, once `ready` is answered 200; raise `FellError` if it never is."""
    with sandbox.serve(job_of(candidate, around)) as served:
        stands = Standing(Line(served.socket), served.isolation)
        try:
            _until_ready(stands.line, ready)
        except SilentError as e:
            ended = served.end()
            said = ended.said.decode(errors="replace").strip().splitlines()
            last = f"; it said: {said[-1][:200]}" if said else ""
            raise FellError(f"the candidate did not answer: {e}{f' ({ended.why})' if ended.why else ''}{last}") from e
        yield stands
        stands.outcome = served.end()


def job_of(candidate: Candidate, around: Surroundings) -> Job:
    """Write what the manifest says as a job of a sandbox."""
    serve = candidate.manifest.serve
    values = {"model": "/in/model", "port": str(PORT), "python": sys.executable}
    values |= {f"file:{name}": f"/in/model/{name}" for name in _names(candidate)}
    inputs = {"model": candidate.folder}
    if around.bindings is not None:
        values["bindings"] = "/in/bindings"
        inputs["bindings"] = around.bindings
    return Job(
        command=tuple(_PLACE.sub(lambda place: _value(place[1], values), word) for word in serve.command),
        inputs=inputs,
        environment={"PATH": os.defpath, **_environment(serve, values)},
        limits=around.limits,
        port=PORT,
        reach=around.reach,
    )


def _until_ready(line: Line, ready: str) -> None:
    ends_at, asking = time.monotonic() + START_SECONDS, Line(line.path, _ASK_SECONDS)
    while time.monotonic() < ends_at:
        try:
            if asking.ask(written("GET", ready)).status == 200:
                return
        except GoneError as e:
            raise SilentError("its program ended") from e
        except SilentError:
            asking.waited = 0.0  # it may take its time to start
        time.sleep(_LOOK_SECONDS)
    raise SilentError(f"{ready} was not answered 200 within {START_SECONDS:g} s")


def _names(candidate: Candidate) -> Iterator[str]:
    for component, files in candidate.files.items():
        yield from (f"{component}/{file.name}" for file in files)


def _environment(serve: Serve, values: Mapping[str, str]) -> Mapping[str, str]:
    wanted = [name for name, value in serve.environment.items() if "{bindings}" in value]
    if wanted and "bindings" not in values:
        raise VerificationError(f"{wanted[0]} wants {{bindings}}, and none were given to this trial")
    return {name: value.replace("{bindings}", values.get("bindings", "")) for name, value in serve.environment.items()}


def _value(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        more = "none were given to this trial" if name == "bindings" else "no component has that file"
        raise VerificationError(f"the command wants {{{name[:200]}}}, and {more}")
    return values[name]
