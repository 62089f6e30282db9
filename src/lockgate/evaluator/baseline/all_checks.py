"""Which checks are the baseline, and in which order? Files first; what runs, last, and only if the files are clean.

    scan ─▶ fit, chat-template, prompts, tools ─▶ serve in the sandbox ─▶ input-contract, guardrail, outputs

What a release does not have gives no measure, and whether that is well the policy says.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lockgate import __version__
from lockgate.errors import VerificationError
from lockgate.evaluator.assignment import Assignment
from lockgate.evaluator.baseline.filter_probe import dangerous_cleaned, harmless_kept
from lockgate.evaluator.baseline.fit import fits
from lockgate.evaluator.baseline.guardrail_probe import attempts_refused, ordinary_answered
from lockgate.evaluator.baseline.intake import Intake, intake_of
from lockgate.evaluator.baseline.intake_probes import intake_probes
from lockgate.evaluator.baseline.prompt_lint import prompt_lint
from lockgate.evaluator.baseline.templates import chat_templates
from lockgate.evaluator.baseline.tool_pins import tool_pins
from lockgate.evaluator.candidate import Candidate
from lockgate.evaluator.line import Line
from lockgate.evaluator.measured import Measured, Tell, counted
from lockgate.evaluator.on_trial import FellError, Surroundings, standing
from lockgate.evaluator.tried import Tried
from lockgate.scanner.scanned import Scan

FILE_CHECKS: Mapping[str, Callable[[Candidate], Iterable[Tried]]] = {
    "fit": fits,
    "chat-template": chat_templates,
    "prompts": prompt_lint,
    "tools": tool_pins,
}
REPORT = "report.json"
_MOST_TOLD = 200


@dataclass(slots=True)
class _Sheet:
    """What is written down while the checks go on."""

    tell: Tell
    tried: dict[str, list[Tried]] = field(default_factory=dict)

    def note(self, measure: str, cases: Iterable[Tried]) -> None:
        self.tried[measure] = list(cases)
        self.tell(measure)


def run_baseline(given: Assignment) -> Measured:
    """Run every check that the release gives reason for.

    Enforces: automated_security_tests
    """
    sheet = _Sheet(given.tell)
    sheet.note("scan", _scanned(given.scan))
    for name, check in FILE_CHECKS.items():
        sheet.note(name, check(given.candidate))
    isolation, trouble = _served(given, sheet)
    measures = {name: measure for name, cases in sheet.tried.items() if (measure := counted(cases)) is not None}
    records = {REPORT: _report(sheet.tried, trouble, given.around)}
    whole = frozenset({"scan", *FILE_CHECKS})
    return Measured(measures, records, __version__, isolation, isolation is not None, trouble, whole)


def _served(given: Assignment, sheet: _Sheet) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Try what serves; return the layers that held it, None if nothing served, and what went wrong."""
    try:
        intake = intake_of(given.candidate)
        if given.scan.findings:
            return None, ("the scan found something, so the candidate was not started",)
        if intake is None:
            return None, ()
        with standing(given.candidate, given.sandbox, given.around, intake.ready) as stands:
            for name, cases in _probes(intake, stands.line):
                sheet.note(name, cases)
    except (VerificationError, FellError) as e:
        return None, (str(e),)
    ended = stands.outcome.why if stands.outcome else "nobody knows which"
    return stands.isolation, (f"the candidate ran into a limit of its sandbox: {ended}",) if ended else ()


def _probes(intake: Intake, line: Line) -> Iterator[tuple[str, Iterable[Tried]]]:
    yield "input-contract", intake_probes(intake, line)
    if intake.guardrail:
        yield "security-guardrail", attempts_refused(intake.guardrail, line)
        yield "utility-guardrail", ordinary_answered(intake.guardrail, line)
    if intake.filter:
        yield "security-outputs", dangerous_cleaned(intake.filter, line)
        yield "utility-outputs", harmless_kept(intake.filter, line)


def _scanned(scan: Scan) -> Iterator[Tried]:
    """Turn a scan into cases: each file, and what is wrong with it."""
    found: dict[str, list[str]] = {}
    for each in scan.findings:
        found.setdefault(each.file, []).append(f"{each.rule}: {each.text}")
    for name in sorted(scan.formats.keys() | found.keys()):
        yield Tried(name, "; ".join(found.get(name, ())) or None)


def _report(tried: Mapping[str, list[Tried]], trouble: tuple[str, ...], around: Surroundings) -> bytes:
    """Write what did not hold, and what the candidate could reach beside its own files."""
    failures = {
        name: [{"case": case.case, "why": case.why} for case in cases if case.why is not None][:_MOST_TOLD]
        for name, cases in tried.items()
    }
    counts = {name: str(counted(cases) or "none") for name, cases in tried.items()}
    surroundings = {"bindings": around.bindings is not None, "reach": sorted(around.reach)}
    document = {"counts": counts, "failures": failures, "trouble": list(trouble), "surroundings": surroundings}
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
