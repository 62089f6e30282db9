"""How does a foreign harness test a release? In a sandbox of its own, from which it sees the served release alone.

    sandbox 1: the release serves ──unix socket──▶ relay ──▶ sandbox 2: the harness ──/out──▶ reports, read outside

A suite says under `[run]` what its harness wants to know:

command = ["{python}", "{suite}/desk_tasks.py"]  # {python}: that of the harness; {suite}: this suite, read-only
environment = { DESK_URL = "http://127.0.0.1:{port}" }
tools = "inspect"                                # which folder of the harness folder has its Python
ready = "/healthz"                               # what the release answers once it serves
port = 8500                                      # where the harness finds it, on its own loopback address
reports = ".json"                                # which of the files that it leaves are reports
versions = { task = "1" }                        # every task of the suite, and its version
measures = { security-x = "task/scorer" }        # where in the reports each measure is

A harness lives in a virtual environment of its own (`$LOCKGATE_HARNESSES/NAME`): it is foreign code with a hundred
dependencies, and nothing of it is imported here.
"""

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lockgate.errors import UnavailableError, VerificationError
from lockgate.evaluator.assignment import Assignment, Harness
from lockgate.evaluator.harness.garak_report import read_garak
from lockgate.evaluator.harness.inspect_log import read_inspect
from lockgate.evaluator.harness.lm_eval_results import read_lm_eval
from lockgate.evaluator.harness.promptfoo_results import read_promptfoo
from lockgate.evaluator.harness.reported import Reported, picked, together
from lockgate.evaluator.measured import Measured, failed
from lockgate.evaluator.on_trial import FellError, standing
from lockgate.evaluator.sandbox import Job, Outcome
from lockgate.formats import plain
from lockgate.formats.canonical import Json
from lockgate.formats.names import Name

_PLACE = re.compile(r"\{(python|suite|port)\}")
_TOLD = 300


@dataclass(frozen=True, slots=True)
class Run:
    """What `[run]` of a suite says."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    tools: Name
    ready: str
    port: int
    reports: str
    versions: Mapping[str, str]
    measures: Mapping[str, str]


def harness(read: Callable[[bytes], Reported]) -> Harness:
    """Make a harness of what reads its reports."""
    return lambda given: _run(given, read)


FOREIGN: Mapping[str, Harness] = {
    "inspect": harness(read_inspect),
    "garak": harness(read_garak),
    "promptfoo": harness(read_promptfoo),
    "lm-eval": harness(read_lm_eval),
}


def measured_of(run: Run, outcome: Outcome, read: Callable[[bytes], Reported], isolation: tuple[str, ...]) -> Measured:
    """Read what the harness left; a run that did not end well is trouble, whatever its reports say."""
    layers = tuple(layer for layer in isolation if layer in outcome.isolation)
    reports = {name: content for name, content in sorted(outcome.files.items()) if name.endswith(run.reports)}
    records = {**reports, "harness.log": outcome.said}
    trouble = [f"the harness ended with {outcome.code}"] if outcome.code else []
    trouble += [f"the harness ran into its limit of {outcome.why}"] if outcome.why else []
    try:
        found = together(read(content) for content in reports.values())
        measures = picked(found, run.measures, run.versions)
    except VerificationError as e:
        last = outcome.said.decode(errors="replace").strip()[-_TOLD:]
        said = f"; it said: {last}" if trouble and last else ""
        return Measured({}, records, "unknown", layers, served=True, trouble=(*trouble, f"{e}{said}"))
    return Measured(measures, records, found.harness_version, layers, served=True, trouble=tuple(trouble))


def _run(given: Assignment, read: Callable[[bytes], Reported]) -> Measured:
    run = plain.from_plain(Run, _written(given), "run")
    if odd := sorted(given.suite.about.measures.keys() ^ run.measures.keys()):
        raise VerificationError(f"the suite says of measure {odd[0]!a} what it counts, or where it is, and not both")
    if given.scan.findings:
        return failed("the scan found something, so the candidate was not started", "unknown")
    tools = _tools(run.tools)
    with tempfile.TemporaryDirectory(prefix="suite-") as folder:
        given.suite.lay_out(Path(folder))
        try:
            with standing(given.candidate, given.sandbox, given.around, run.ready) as stands:
                job = _job(run, given, Path(folder), tools, stands.line.path)
                outcome = given.sandbox.run(job)
        except FellError as e:
            return failed(str(e), "unknown")
    found = measured_of(run, outcome, read, stands.isolation)
    ended = stands.outcome.why if stands.outcome else "nobody knows which"
    trouble = (f"the candidate ran into a limit of its sandbox: {ended}",) if ended else ()
    return replace(found, trouble=(*found.trouble, *trouble))


def _job(run: Run, given: Assignment, suite: Path, tools: Path, socket: Path) -> Job:
    values = {"python": "/in/tools/bin/python", "suite": "/in/suite", "port": str(run.port)}

    def filled(word: str) -> str:
        return _PLACE.sub(lambda place: values[place[1]], word)

    quiet = {"PATH": os.defpath, "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}  # noqa: S108 - inside of the sandbox
    return Job(
        command=tuple(filled(word) for word in run.command),
        inputs={"suite": suite, "tools": tools},
        environment={**quiet, **{name: filled(value) for name, value in run.environment.items()}},
        limits=given.around.limits,
        reach={run.port: socket},
    )


def _written(given: Assignment) -> Json:
    run = given.suite.about.run
    if run is None:
        raise VerificationError(f"suite {given.suite.about.name} has no [run] for its harness")
    found: Json = plain.to_plain(run)
    return found


def _tools(name: Name) -> Path:
    """Find the environment of a harness; raise `UnavailableError` with the way to make it."""
    home = Path(os.environ.get("LOCKGATE_HARNESSES") or Path.home() / ".cache" / "lockgate" / "harnesses")
    tools = home / str(name)
    if not (tools / "bin" / "python").exists():
        way = f"`tools/harness {name}` makes one, and LOCKGATE_HARNESSES names its folder"
        raise UnavailableError(f"there is no harness at {tools}: {way}")
    return tools
