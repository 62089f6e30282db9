"""How does a foreign harness test a release? In a sandbox of its own, from which it sees the served release alone.

    sandbox 1: the release serves ──unix socket──▶ relay ──▶ sandbox 2: the harness ──/out──▶ reports, read outside

A suite that needs only files gets them at {model}, and nothing serves. It says under `[run]` what its harness wants:

command = ["{python}", "{suite}/desk_tasks.py"]  # {python}: that of the harness; {suite}: this suite, read-only
environment = { DESK_URL = "http://127.0.0.1:{port}", PORTION = "{shard}/{shards}" }
tools = "inspect"                                # which folder of the harness folder it is; {tools} inside
ready = "/healthz"                               # what the release answers once it serves, if it does
port = 8500                                      # where the harness finds it then, on its own loopback address
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
from lockgate.evaluator.assignment import Assignment, Harness, Portion
from lockgate.evaluator.harness.garak_report import read_garak
from lockgate.evaluator.harness.inspect_log import read_inspect
from lockgate.evaluator.harness.lm_eval_results import read_lm_eval
from lockgate.evaluator.harness.promptfoo_results import read_promptfoo
from lockgate.evaluator.harness.reported import Reported, picked, sampled, together
from lockgate.evaluator.measured import Measured, failed
from lockgate.evaluator.on_trial import FellError, standing
from lockgate.evaluator.sandbox import Job, Outcome
from lockgate.evaluator.suite_folder import Suite
from lockgate.formats import plain
from lockgate.formats.names import Name

_PLACE = re.compile(r"\{(python|suite|tools|port|model|shards?)\}")
_SPLIT = "{shard}", "{shards}"
_TOLD = 300


@dataclass(frozen=True, slots=True)
class Run:
    """What `[run]` of a suite says."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    tools: Name
    reports: str
    versions: Mapping[str, str]
    measures: Mapping[str, str]
    ready: str | None = None
    port: int | None = None

    @property
    def is_split(self) -> bool:
        """Tell whether the suite asks which portion it is to run."""
        words = (*self.command, *self.environment.values())
        return all(any(place in word for word in words) for place in _SPLIT)


def harness(read: Callable[[bytes], Reported]) -> Harness:
    """Make a harness of what reads its reports."""
    return lambda given: _run(given, read)


FOREIGN: Mapping[str, Harness] = {
    "inspect": harness(read_inspect),
    "garak": harness(read_garak),
    "promptfoo": harness(read_promptfoo),
    "lm-eval": harness(read_lm_eval),
}


def measured_of(
    run: Run, outcome: Outcome, read: Callable[[bytes], Reported], isolation: tuple[str, ...], *, split: bool = False
) -> Measured:
    """Read what the harness left; a run that did not end well is trouble, whatever its reports say."""
    layers = tuple(layer for layer in isolation if layer in outcome.isolation)
    reports = {name: content for name, content in sorted(outcome.files.items()) if name.endswith(run.reports)}
    records = {**reports, "harness.log": outcome.said}
    trouble = [f"the harness ended with {outcome.code}"] if outcome.code else []
    trouble += [f"the harness ran into its limit of {outcome.why}"] if outcome.why else []
    try:
        found = together(read(content) for content in reports.values())
        measures = picked(found, run.measures, run.versions)
        samples = sampled(found, run.measures) if split else {}
    except VerificationError as e:
        last = outcome.said.decode(errors="replace").strip()[-_TOLD:]
        said = f"; it said: {last}" if trouble and last else ""
        return Measured({}, records, "unknown", layers, served=True, trouble=(*trouble, f"{e}{said}"))
    version = found.harness_version
    return Measured(measures, records, version, layers, served=True, trouble=tuple(trouble), samples=samples)


def _run(given: Assignment, read: Callable[[bytes], Reported]) -> Measured:
    run = run_of(given.suite, given.portion)
    if given.scan.findings:
        return failed("the scan found something, so the candidate was not started", "unknown")
    brought = {} if given.around.python else {"tools": _tools(run)}
    split = not given.portion.is_all
    with tempfile.TemporaryDirectory(prefix="suite-", dir=given.around.workshop) as folder:
        given.suite.lay_out(Path(folder))
        brought["suite"] = Path(folder)
        Path(folder).chmod(0o755)  # a pod reads it as somebody else
        if run.ready is None:
            outcome = given.sandbox.run(_job(run, given, {**brought, "model": given.candidate.folder}, None))
            return replace(measured_of(run, outcome, read, outcome.isolation, split=split), served=False)
        try:
            with standing(given.candidate, given.sandbox, given.around, run.ready) as stands:
                outcome = given.sandbox.run(_job(run, given, brought, stands.line.path))
        except FellError as e:
            return failed(str(e), "unknown")
    found = measured_of(run, outcome, read, stands.isolation, split=split)
    ended = stands.outcome.why if stands.outcome else "nobody knows which"
    trouble = (f"the candidate ran into a limit of its sandbox: {ended}",) if ended else ()
    return replace(found, trouble=(*found.trouble, *trouble))


def run_of(suite: Suite, portion: Portion) -> Run:
    """Read what a suite says of its run; raise `VerificationError` for what cannot be run, or not in portions."""
    if suite.about.run is None:
        raise VerificationError(f"suite {suite.about.name} has no [run] for its harness")
    run = plain.from_plain(Run, plain.to_plain(suite.about.run), "run")
    if odd := sorted(suite.about.measures.keys() ^ run.measures.keys()):
        raise VerificationError(f"the suite says of measure {odd[0]!a} what it counts, or where it is, and not both")
    serves = "served" in suite.about.needs
    if (run.ready is not None, run.port is not None) != (serves, serves):
        raise VerificationError(
            f"suite {suite.about.name} says `ready` and `port` if it needs what is served, else neither"
        )
    if not portion.is_all and not run.is_split:
        raise VerificationError(
            f"suite {suite.about.name} does not ask for its {{shard}} of {{shards}}: it runs as a whole"
        )
    return run


def _job(run: Run, given: Assignment, inputs: Mapping[str, Path], socket: Path | None) -> Job:
    values = {
        "python": given.around.python or "/in/tools/bin/python", "suite": "/in/suite", "tools": "/in/tools",
        "port": str(run.port), "model": "/in/model",
        "shard": str(given.portion.number), "shards": str(given.portion.of),
    }  # fmt: skip

    def filled(word: str) -> str:
        return _PLACE.sub(lambda place: values[place[1]], word)

    quiet = {"PATH": os.defpath, "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}  # noqa: S108 - inside of the sandbox
    return Job(
        command=tuple(filled(word) for word in run.command),
        inputs=inputs,
        environment={**quiet, **{name: filled(value) for name, value in run.environment.items()}},
        limits=given.around.limits,
        reach={run.port: socket} if run.port is not None and socket is not None else {},
    )


def _tools(run: Run) -> Path:
    """Find the environment of a harness, with its program; raise `UnavailableError` with the way to make it."""
    home = Path(os.environ.get("LOCKGATE_HARNESSES") or Path.home() / ".cache" / "lockgate" / "harnesses")
    tools, program = home / str(run.tools), "".join(run.command[:1]).replace("{python}", "{tools}/bin/python")
    if not (tools / program.removeprefix("{tools}/") if program.startswith("{tools}/") else tools).exists():
        way = f"`tools/harness {run.tools}` makes one, and LOCKGATE_HARNESSES names its folder"
        raise UnavailableError(f"there is no harness at {tools}: {way}")
    return tools
