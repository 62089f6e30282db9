"""How does a scan become evidence? As a test result of the suite `scan`, whose digest is that of the rules."""

from datetime import datetime

from lockgate import __version__
from lockgate.core.evidence import TestRun, Verdict
from lockgate.core.measure import Measure
from lockgate.scanner.scanned import Scan
from lockgate.scanner.second_opinion import Opinion

SUITE = "scan"
HARNESS = "lockgate-scanner"


def scan_run(scan: Scan, *, started_at: datetime, finished_at: datetime) -> TestRun:
    """Write a scan as a test result: it passed if something was scanned, and nothing was found."""
    return TestRun(
        result=Verdict.PASSED if scan.files and not scan.findings else Verdict.FAILED,
        suite=SUITE,
        suite_version=scan.rules_version,
        harness=HARNESS,
        harness_version=__version__,
        thresholds={},
        metrics={"bytes": str(scan.bytes), "findings": str(len(scan.findings))},
        finished_at=finished_at,
        suite_digest=scan.rules,
        measures={"files": Measure(passed=scan.clean, of=scan.files)} if scan.files else None,
        excused=scan.excused,
        started_at=started_at,
    )


def opinion_run(opinion: Opinion, files: int, *, started_at: datetime, finished_at: datetime) -> TestRun:
    """Write what a second scanner said as a test result of the suite `scan/NAME`, which can only deny."""
    return TestRun(
        result=Verdict.FAILED if opinion.findings or not files else Verdict.PASSED,
        suite=f"{SUITE}/{opinion.scanner}",
        suite_version=opinion.version,
        harness=opinion.scanner,
        harness_version=opinion.version,
        thresholds={},
        metrics={"findings": str(len(opinion.findings))},
        finished_at=finished_at,
        started_at=started_at,
    )
