"""What does it cost to decide? One case with 50 statements and 20 requirements, judged again and again.

Twelve suites with trials and thresholds, a scan with two second scanners, components, provenance, approvals, pins, a
rollout and its demands: 20 things that the policy wants. Every signature is verified every time; what a statement
says is read once, as in a server or a host that judges the same statements again.
"""

import statistics
import time
from dataclasses import replace
from datetime import timedelta

from lockgate.core.gate import judge
from lockgate.core.measure import Measure
from lockgate.core.policy import Evaluation, Scans
from lockgate.core.requirement import SCANNER
from lockgate.core.trial import Trial
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Version
from tests.core.dossiers import AT, FINISHED, MINUTE, agree, built, good, release, ruling, run, statement
from tests.world import CONTENT, NOTHING_REVOKED, PROD, policy, trust

COMMAND = "make bench ARGS=gate"
ROUNDS, SUITES, STATEMENTS, MILLI = 100, 12, 50, 1000
RULES = Digest.of(b"rules")
IN_FORCE = Digest.of(plain.encode(policy()))
BEGUN = FINISHED - MINUTE


def rows() -> list[dict[str, object]]:
    """Measure: one row."""
    case, ruled = _case(), agree(_ruled())
    assert len(case.evidence) == STATEMENTS
    trusted, took = agree(trust()), []
    for _ in range(ROUNDS):
        began = time.process_time()
        judge(case, PROD, trusted, ruled, NOTHING_REVOKED, AT)
        took.append(MILLI * (time.process_time() - began))
    found = statistics.median(took)
    return [
        {
            "what": f"a decision of the gate: {STATEMENTS} statements, 20 requirements, CPU time",
            "figure": f"median {found:.1f} ms, most {max(took):.1f} ms of {ROUNDS}",
            "must": "at most 20 ms",
            "ok": found <= 20,
            "command": COMMAND,
        }
    ]


def _suites() -> list[Evaluation]:
    measures = {"security-injection": "0.9", "utility": "0.5", "format": "1"}
    return [
        Evaluation(
            f"suite-{number}", measures, 30, digests=(CONTENT,), versions=">=1.0.0 <2.0.0",
            least={"security-injection": 50}, isolation=("namespaces", "seccomp"), trials=5, served=True,
        )
        for number in range(SUITES)
    ]  # fmt: skip


def _ruled():
    scans = Scans(30, (RULES,), (), ("one", "two"))
    return ruling(evaluations=tuple(_suites()), scans=scans)


def _case():
    """Make 50 statements: three results of each suite, of three trials, and what else there is of a release."""
    about, trials = [built()], []
    for at, wanted in enumerate(_suites()):
        for turn in range(3):
            number = at * 3 + turn + 1
            begun = BEGUN + timedelta(seconds=turn)
            trials.append(
                Trial(number, wanted.suite, Version(1, 0, 0), CONTENT, wanted.digest, PROD, IN_FORCE, Name("ci"), begun)
            )
            about.append(_result(wanted, number, begun))
    scan = replace(run(), harness=SCANNER, suite_digest=RULES, excused=(), metrics={})
    about += [replace(scan, suite=name) for name in ("scan", "scan/one", "scan/two")]
    about += [replace(scan, suite=f"other-{number}") for number in range(STATEMENTS - len(about))]
    return replace(good(), evidence=tuple(statement(release(), one) for one in about), trials=tuple(trials))


def _result(wanted: Evaluation, number: int, begun):
    measures = {"security-injection": Measure(60, 60), "utility": Measure(70, 100), "format": Measure(9, 9)}
    told = replace(
        run(), suite=wanted.suite, measures=measures, metrics={}, suite_digest=CONTENT, trial=number,
        log=trust().origin, policy=IN_FORCE, served=release().digest, isolation=("namespaces", "seccomp", "limits"),
        started_at=begun,
    )  # fmt: skip
    return replace(told, finished_at=begun + timedelta(seconds=30))
