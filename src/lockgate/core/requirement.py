"""What does a policy ask of a release, and what is against it? Each requirement by itself; nothing passes for silence.

An objection says what it is about, so that one of them can be set aside by name and no other with it. Integrity is what
nobody can set aside: signatures, digests, what was revoked, who the authors are, what the change is about.

Of a suite the newest result counts. Where the policy wants trials, it is that of the newest trial, which was begun
under this very block of the policy, before the run; so neither a run that failed nor one that never ended can be left
out, and no threshold is chosen after the fact.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from lockgate.core.evidence import Evidence, Provenance, TestRun, Verdict, latest_runs
from lockgate.core.measure import Measure, bound, is_at_least, reaches
from lockgate.core.policy import Approvals, Evaluation, Rules, Scans
from lockgate.core.rights import Role
from lockgate.core.suite import SCAN, Suite, check_bound, is_reserved, is_within
from lockgate.core.trial import Attempt, Trial
from lockgate.core.trust import Actor
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag, Version

SCANNER = "lockgate-scanner"
_EVER = 36_500  # days
MOST_TRIALS = 1000
Requirement: TypeAlias = Literal[
    "integrity", "evaluation", "scan", "provenance", "components", "pins", "rollout", "approvals"
]


@dataclass(frozen=True, slots=True)
class Objection:
    """One reason against a release: which requirement it misses, in what (a suite, a component), and why."""

    kind: Requirement
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What was shown of a release when it is judged: verified evidence, proved trials, and the log that holds them.

    `runs` are the newest of each suite, `results` says how many there are of a trial.
    """

    evidence: Sequence[Evidence]
    trials: Sequence[Trial]
    log: str
    at: datetime
    runs: Mapping[str, Sequence[TestRun]]
    results: Mapping[tuple[str, int], int]


def show(evidence: Sequence[Evidence], trials: Sequence[Trial], log: str, at: datetime) -> Shown:
    """Sort what was shown of a release."""
    distinct = {item.payload: item.about for item in evidence}.values()
    runs = [about for about in distinct if isinstance(about, TestRun) and about.log == log]
    results = Counter((run.suite, run.trial) for run in runs if run.trial is not None)
    return Shown(evidence, trials, log, at, latest_runs(evidence), results)


def objections(kind: Requirement, about: str, reasons: Sequence[str]) -> Iterator[Objection]:
    """Make reasons against one thing objections."""
    return (Objection(kind, about, reason) for reason in reasons)


def wrong_provenance(rules: Rules, evidence: Sequence[Evidence]) -> Iterator[Objection]:
    """Say whether the provenance that the policy wants is missing."""
    if rules.provenance and not any(isinstance(item.about, Provenance) for item in evidence):
        yield Objection("provenance", "provenance", "the release has no provenance by a trusted signer")


def wrong_scans(rules: Rules, shown: Shown) -> Iterator[Objection]:
    """Say what scans found, or did not look at. A second scanner can only deny, whether it is wanted or not.

    Enforces: failed_validation_blocks
    """
    wanted = _scanners(rules.scans)
    for suite in wanted:
        assert rules.scans is not None
        yield from objections("scan", suite, _wrong_scan(rules.scans, suite, shown))
    for suite, runs in sorted(shown.runs.items()):
        if suite not in wanted and (suite == SCAN or suite.startswith(f"{SCAN}/")):
            failed = any(run.result is Verdict.FAILED for run in runs)
            yield from objections("scan", suite, [f"suite {suite} FAILED"] if failed else [])


def wrong_evaluations(rules: Rules, shown: Shown, spared: Collection[str] = ()) -> Iterator[Objection]:
    """Say which suites have not passed as the policy wants it; those `spared` may be missing, old or unfinished.

    Enforces: failed_validation_blocks
    """
    for wanted in rules.evaluations:
        yield from objections(
            "evaluation", wanted.suite, wrong_evaluation(wanted, shown, spared=wanted.suite in spared)
        )


def wrong_evaluation(wanted: Evaluation, shown: Shown, *, spared: bool = False) -> Sequence[str]:
    """Say what is wrong with the newest result of a suite, and with its trials."""
    runs = shown.runs.get(wanted.suite, ())
    if spared and not runs:
        return []
    reasons = [] if runs else [_missing(wanted.suite)]
    for run in runs:
        reasons += _wrong_outcome(run, _EVER if spared else wanted.max_age_days, shown.at)
        reasons += _wrong_measures(wanted, run)
        reasons += _wrong_circumstances(wanted, run)
    if wanted.trials is not None:
        reasons += _wrong_trials(wanted, wanted.trials, shown)
        reasons += [] if spared else _unfinished(wanted.suite, shown)
    return list(dict.fromkeys(reasons))


def wanted_evidence(rules: Rules, spared: Collection[str] = ()) -> tuple[tuple[Requirement, str], ...]:
    """Name each piece of evidence that is asked for, as an objection to it would."""
    found: list[tuple[Requirement, str]] = [("provenance", "provenance")] if rules.provenance else []
    found += [("scan", suite) for suite in _scanners(rules.scans)]
    found += [("evaluation", wanted.suite) for wanted in rules.evaluations if wanted.suite not in spared]
    return tuple(found)


def is_missing(objection: Objection) -> bool:
    """Tell whether nothing is there at all of what an objection is about."""
    return objection.kind == "provenance" or objection.text == _missing(objection.about)


def check_attempt(attempt: Attempt, rules: Rules, release: Digest, trials: Sequence[Trial]) -> None:
    """Raise `DeniedError` with every reason why no result of a trial could count, so that none is begun for nothing."""
    suite = attempt.suite
    wanted = next((block for block in rules.evaluations if block.suite == suite), None)
    if wanted is None:
        raise DeniedError(f"the policy demands nothing of suite {suite[:80]!a} at {attempt.endpoint}")
    if attempt.release != release:
        raise DeniedError(f"{attempt.tag} is {release}, not {attempt.release}")
    if reasons := list(_wrong_attempt(attempt, wanted, trials)):
        raise DeniedError(*reasons)


def check_beginner(tag: Tag, actor: Actor, authors: Collection[Name]) -> None:
    """Raise `DeniedError` unless this is the CI, or an author of the release, whose tries are counted."""
    if Role.CI not in actor.roles and actor.name not in authors:
        raise DeniedError(f"{actor.name} is no author of {tag}: its trials are begun by the CI or by its authors")


def check_chosen(attempt: Attempt, rules: Rules, known: Suite | None, authors: Collection[Name]) -> None:
    """Raise `DeniedError` for a suite whose content the authors of the release chose, or nobody.

    It is pinned by the policy, comes with Lockgate, or was added by somebody else.
    """
    check_bound(known, attempt.suite_digest)
    pinned = any(block.digests is not None for block in rules.evaluations if block.suite == attempt.suite)
    if pinned or is_reserved(attempt.suite):
        return
    this = f"{attempt.suite}@{attempt.suite_version}"
    if known is None:
        raise DeniedError(f"nobody has added the suite {this}, and the policy pins no content: lockgate suite add")
    if known.by in authors:
        raise DeniedError(f"{known.by} added the suite {this}, and is an author of {attempt.tag}: another adds it")


def _wrong_attempt(attempt: Attempt, wanted: Evaluation, trials: Sequence[Trial]) -> Iterator[str]:
    suite, version, content, demands = wanted.suite, attempt.suite_version, attempt.suite_digest, wanted.digest
    under = sum((trial.suite, trial.demands) == (suite, demands) for trial in trials)
    if attempt.demands != demands:
        yield f"the policy demands {demands} of suite {suite}, not {attempt.demands}"
    if wanted.digests is not None and content not in wanted.digests:
        yield f"the policy does not list suite {suite} with the content {content}"
    if wanted.versions is not None and not is_within(version, wanted.versions):
        yield f"the policy wants versions {wanted.versions} of suite {suite}, not {version}"
    if wanted.trials is not None and under >= wanted.trials:
        yield f"suite {suite} was tried {under} times, no more are allowed"
    if len(trials) >= MOST_TRIALS:
        yield f"{attempt.tag} was tried {len(trials)} times, and no more are kept of one release"


def wrong_approvals(wanted: Approvals, found: int) -> Iterator[Objection]:
    """Say how many people still have to approve."""
    if found < wanted.count:
        people = f"somebody with the role {wanted.role} who is no author"
        yield Objection("approvals", "approvals", f"{found} of {wanted.count} approvals by {people}")


def passed(rules: Rules, shown: Shown) -> Iterator[str]:
    """Say how the suites and scanners that are wanted have passed, in the order of the rules."""
    for wanted in rules.evaluations:
        if not wrong_evaluation(wanted, shown):
            run = shown.runs[wanted.suite][0]
            found = (f"{name} {_good(run, name)}, at least {least} is wanted" for name, least in wanted.metrics.items())
            tried = f" in trial {run.trial}" if wanted.trials is not None else ""
            yield f"suite {wanted.suite} {run.result} at {run.finished_at}{tried}: {'; '.join(sorted(found))}"
    for suite in _scanners(rules.scans):
        if rules.scans is not None and not _wrong_scan(rules.scans, suite, shown):
            run = shown.runs[suite][0]
            excused = f", but for {', '.join(run.excused)}, as the policy accepts it" if run.excused else ""
            yield f"suite {suite} {run.result} at {run.finished_at}: nothing was found{excused}"


def _missing(suite: str) -> str:
    return f"suite {suite} has no result by a trusted signer for this release"


def _wrong_outcome(run: TestRun, max_age_days: int, at: datetime) -> Iterator[str]:
    if run.result is not Verdict.PASSED:
        yield f"suite {run.suite} {run.result}, it must have PASSED"
    if not at - timedelta(days=max_age_days) <= run.finished_at <= at:
        yield f"suite {run.suite} finished at {run.finished_at}, not in the {max_age_days} days before"


def _wrong_measures(wanted: Evaluation, run: TestRun) -> Iterator[str]:
    for name, threshold in sorted(wanted.metrics.items()):
        least = (wanted.least or {}).get(name)
        if not _shows(run, name, threshold):
            yield f"suite {run.suite}: {name} {_found(run, name)}, at least {threshold} is wanted"
        if least is not None and (_measured(run, name).of or 0) < least:
            size = _measured(run, name).of or 0
            yield f"suite {run.suite}: {name} counts {size} samples, at least {least} are wanted"


def _measured(run: TestRun, name: str) -> Measure:
    return (run.measures or {}).get(name, Measure())


def _shows(run: TestRun, name: str, threshold: str) -> bool:
    if run.measures is not None:
        return reaches(_measured(run, name), threshold)
    found = run.metrics.get(name)
    return found is not None and is_at_least(found, threshold)


def _found(run: TestRun, name: str) -> str:
    if run.measures is None:
        return f"is {str(run.metrics.get(name))[:40]!a}"
    measure = run.measures.get(name)
    if measure is None:
        return "was not measured"
    return f"is {measure}" if measure.of is None else f"is {measure}, which shows {bound(measure)}"


def _good(run: TestRun, name: str) -> str:
    return f"is {run.metrics[name]}" if run.measures is None else _found(run, name)


def _wrong_circumstances(wanted: Evaluation, run: TestRun) -> Iterator[str]:
    """Say what the run was of, or in, that it should not have been."""
    if wanted.digests is not None and run.suite_digest not in wanted.digests:
        yield f"suite {run.suite} had the content {run.suite_digest}, which is not one that the policy lists"
    if wanted.versions is not None and not _is_version(run.suite_version, wanted.versions):
        yield f"suite {run.suite} was version {run.suite_version[:40]!a}, not {wanted.versions}"
    lacking = [layer for layer in wanted.isolation or () if layer not in (run.isolation or ())]
    if lacking:
        yield f"suite {run.suite} ran without {', '.join(lacking)}"
    if wanted.served and run.served is None:
        yield f"suite {run.suite}: the server that was tested has not proved that it had this release"


def _is_version(text: str, wanted: str) -> bool:
    try:
        return is_within(Version.parse(text), wanted)
    except VerificationError:
        return False


def _unfinished(suite: str, shown: Shown) -> list[str]:
    newest = max((trial.number for trial in shown.trials if trial.suite == suite), default=None)
    if newest is None or shown.results.get((suite, newest)):
        return []
    return [f"trial {newest} of suite {suite} is unfinished"]


def _wrong_trials(wanted: Evaluation, most: int, shown: Shown) -> Iterator[str]:
    suite, demands = wanted.suite, wanted.digest
    tried = {trial.number: trial for trial in shown.trials if trial.suite == suite}
    under = sum(trial.demands == demands for trial in tried.values())
    if under > most:
        yield f"suite {suite} was tried {under} times, at most {most} are allowed, whatever came of them"
    newest = max(tried, default=-1)
    for run in shown.runs.get(suite, ()):
        trial = tried.get(run.trial) if run.trial is not None and run.log == shown.log else None
        if trial is None:
            yield _no_trial(run, shown.log)
        else:
            yield from _wrong_trial(run, trial, newest, shown)
            if trial.demands != demands:
                yield f"trial {trial.number} of suite {suite} was begun under other demands than the policy makes"


def _no_trial(run: TestRun, log: str) -> str:
    if run.trial is None:
        return f"suite {run.suite}: the newest result is of no trial that was written down before it began"
    if run.log != log:
        return f"suite {run.suite}: the newest result is of a trial of the log {str(run.log)[:80]!a}, this is {log}"
    return f"suite {run.suite}: the newest result is of trial {run.trial}, which the log does not hold for this release"


def _wrong_trial(run: TestRun, trial: Trial, newest: int, shown: Shown) -> Iterator[str]:
    """Say how a run was not what was written down before it."""
    this = f"trial {trial.number} of suite {run.suite}"
    if trial.number != newest and shown.results.get((run.suite, newest)):
        yield f"the newest result of suite {run.suite} is of trial {trial.number}, not of {newest}, the newest trial"
    if (trial.suite_digest, str(trial.suite_version)) != (run.suite_digest, run.suite_version):
        found = f"{run.suite_version[:40]!a} with the content {run.suite_digest}"
        yield f"{this} is of version {trial.suite_version} with the content {trial.suite_digest}, its result of {found}"
    if run.policy != trial.policy:
        yield f"{this} was begun under policy {trial.policy}, its result says {run.policy}"
    if run.started_at is None or run.started_at < trial.begun_at:
        yield f"{this} started at {run.started_at}, not after it was written down at {trial.begun_at}"
    if (times := shown.results[run.suite, trial.number]) > 1:
        yield f"{this} has {times} results, not one"


def _scanners(scans: Scans | None) -> Sequence[str]:
    return () if scans is None else (SCAN, *(f"{SCAN}/{name}" for name in scans.also or ()))


def _wrong_scan(wanted: Scans, suite: str, shown: Shown) -> Sequence[str]:
    runs = shown.runs.get(suite, ())
    reasons = [] if runs else [_missing(suite)]
    for run in runs:
        reasons += _wrong_outcome(run, wanted.max_age_days, shown.at)
        reasons += _wrong_coverage(wanted, run) if suite == SCAN else []
    return list(dict.fromkeys(reasons))


def _wrong_coverage(wanted: Scans, run: TestRun) -> Iterator[str]:
    if run.harness != SCANNER:
        yield f"suite {run.suite} is by {run.harness[:40]!a}, not by {SCANNER}"
    if run.suite_digest is None or (wanted.rules is not None and run.suite_digest not in wanted.rules):
        yield f"suite {run.suite} went by the rules {run.suite_digest}, which are not ones that the policy lists"
    if run.excused is None:
        yield f"suite {run.suite} does not say which exceptions it made"
    for name in run.excused or ():
        if name not in (wanted.exceptions or ()):
            yield f"suite {run.suite} made an exception for {name[:40]!a}, which the policy does not"
