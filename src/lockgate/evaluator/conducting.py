"""How does a run become a result? By a harness, in a sandbox; compared, judged and written down outside of it.

    begun in the log ──▶ harness ──▶ what was measured ──▶ as the demands want it? ──▶ PASSED or FAILED
                           └ raises, hangs, is killed ──▶ trouble ──────────────────▶ FAILED
                                                          (no result at all: the trial stays unfinished, and denies)

The thresholds are those of the block of the policy under which the trial was begun, and no others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from lockgate import __version__
from lockgate.core.evidence import TestRun, Verdict
from lockgate.core.measure import Measure, reaches
from lockgate.core.policy import Evaluation
from lockgate.core.shard import Run, Shard
from lockgate.errors import LockgateError, VerificationError
from lockgate.evaluator.assignment import Assignment, Harness, Portion
from lockgate.evaluator.baseline.all_checks import run_baseline
from lockgate.evaluator.harness.foreign import FOREIGN, run_of
from lockgate.evaluator.measured import Measured, failed
from lockgate.evaluator.suite_folder import Suite
from lockgate.formats.digest import Digest

HARNESSES: Mapping[str, Harness] = {"lockgate": run_baseline, **FOREIGN}
_DIGITS = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Trial:
    """What a run was begun under: the number in which log, when, and the block of which policy."""

    number: int
    log: str
    begun_at: datetime
    demands: Evaluation
    policy: Digest


def harness_of(name: str) -> Harness:
    """Find a harness; raise `VerificationError` for one that nobody knows."""
    if name not in HARNESSES:
        raise VerificationError(f"nobody here knows the harness {name[:80]!a}; there are: {', '.join(HARNESSES)}")
    return HARNESSES[name]


def check_runs(suite: Suite, portion: Portion) -> None:
    """Raise `VerificationError` for a suite that nobody here can run, or not in portions."""
    harness_of(suite.about.harness)
    if suite.about.harness in FOREIGN:
        run_of(suite, portion)
    elif not portion.is_all:
        raise VerificationError(f"suite {suite.about.name} runs as a whole")


def conduct(given: Assignment) -> Measured:
    """Run a suite by its harness; what it raises is trouble of this run, and so is a measure that nobody named.

    Enforces: automated_security_tests
    """
    harness = harness_of(given.suite.about.harness)
    try:
        measured = harness(given)
    except (LockgateError, OSError) as e:
        return failed(f"the harness broke off: {e}", __version__)
    except Exception as e:  # noqa: BLE001 - what a candidate can break must end as FAILED, never as unfinished
        return failed(f"the harness crashed: {type(e).__name__}", __version__)
    if odd := sorted(measured.measures.keys() - given.suite.about.measures.keys()):
        return failed(f"the harness measured {odd[0][:80]!a}, which the suite does not name", measured.harness_version)
    return measured


def missed(demands: Evaluation, measured: Measured) -> Iterator[str]:
    """Say in what a run falls short of what is demanded of it."""
    yield from measured.trouble
    for name, threshold in sorted(demands.metrics.items()):
        measure = measured.measures.get(name)
        least = (demands.least or {}).get(name, 0)
        if measure is None:
            yield f"{name} was not measured: the release does not have what it is about"
        elif not reaches(measure, threshold):
            yield f"{name} is {measure}, at least {threshold} is wanted"
        elif (measure.of or 0) < least:
            yield f"{name} counts {measure.of or 0}, at least {least} are wanted"
        elif name in measured.whole and measure.passed != measure.of:
            yield f"{name} is {measure}, and the release itself says of how many: all of them must hold"
    if lacking := sorted(set(demands.isolation or ()) - set(measured.isolation or ())):
        yield f"the run was not held by {', '.join(lacking)}"
    if demands.served and not measured.served:
        yield "the release was not served"


def result_of(
    given: Assignment, measured: Measured, trial: Trial, started_at: datetime, finished_at: datetime
) -> TestRun:
    """Write down what came of a run under the demands that it was begun under."""
    return _written(shard_of(given, measured, trial, started_at, finished_at), measured, trial)


def shard_of(given: Assignment, measured: Measured, trial: Trial, started_at: datetime, finished_at: datetime) -> Shard:
    """Write down what came of a portion of a run; it is judged when all of them are there."""
    about, started_at = given.suite.about, max(started_at, trial.begun_at)
    return Shard(
        Run(
            trial.number, trial.log, given.candidate.manifest.tag, given.candidate.release, str(about.name),
            about.version, given.suite.digest, trial.policy,
        ),
        given.portion.number,
        given.portion.of,
        harness=about.harness,
        harness_version=measured.harness_version,
        started_at=started_at,
        finished_at=max(finished_at, started_at),
        measures=dict(measured.measures),
        samples=dict(measured.samples),
        isolation=measured.isolation,
        served=measured.served,
        trouble=measured.trouble,
        records={name: Digest.of(record) for name, record in measured.records.items()},
    )  # fmt: skip


def result_of_shards(merged: Shard, trial: Trial) -> tuple[TestRun, Measured]:
    """Write down what came of a run whose shards were put together."""
    if merged.started_at < trial.begun_at:
        raise VerificationError(f"a shard started at {merged.started_at}, before the trial began at {trial.begun_at}")
    measured = Measured(
        merged.measures, {}, merged.harness_version, merged.isolation, served=merged.served, trouble=merged.trouble
    )
    return _written(merged, measured, trial), measured


def _written(shard: Shard, measured: Measured, trial: Trial) -> TestRun:
    run = shard.run
    return TestRun(
        result=Verdict.FAILED if [*missed(trial.demands, measured)] else Verdict.PASSED,
        suite=run.suite,
        suite_version=str(run.suite_version),
        harness=shard.harness,
        harness_version=shard.harness_version,
        thresholds=dict(trial.demands.metrics),
        metrics={name: _plain(measure) for name, measure in shard.measures.items()},
        finished_at=shard.finished_at,
        suite_digest=run.suite_digest,
        trial=run.trial,
        log=run.log,
        measures=dict(shard.measures),
        served=run.release if shard.served else None,
        isolation=shard.isolation,
        policy=run.policy,
        started_at=shard.started_at,
        records=dict(shard.records),
    )


def _plain(measure: Measure) -> str:
    """Write a measure as one decimal number, for people: of a count the share, rounded down."""
    if measure.passed is None or measure.of is None:
        return measure.value or "0"
    return str((Decimal(measure.passed) / measure.of).quantize(_DIGITS, rounding="ROUND_DOWN"))
