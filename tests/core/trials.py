"""What is a good case of a policy that wants to know everything? One trial, one result of it, and a clean scan."""

from dataclasses import replace

from lockgate.core.measure import Measure
from lockgate.core.policy import Evaluation, Scans
from lockgate.core.requirement import SCANNER
from lockgate.core.trial import Trial
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Version
from tests.core.dossiers import FINISHED, MINUTE, evidence, judged, release, ruling, run
from tests.world import PROD, SUITE, policy, trust

CONTENT, OTHER, RECORD = (Digest.of(word) for word in (b"suite", b"another suite", b"log"))
RULES = Digest.of(b"rules of the scanner")
IN_FORCE = Digest.of(plain.encode(policy()))
BEGUN = FINISHED - MINUTE
NUMBER = 5
WANTED = Evaluation(
    SUITE,
    {"security-injection": "0.9", "utility": "0.5"},
    30,
    digests=(CONTENT,),
    versions=">=1.0.0 <2.0.0",
    least={"security-injection": 50},
    isolation=("namespaces", "seccomp"),
    trials=2,
    served=True,
)
SCANS = Scans(30, (RULES,), ("native-code",), ("second",))
TRIAL = Trial(NUMBER, SUITE, Version(1, 0, 0), CONTENT, WANTED.digest, PROD, IN_FORCE, Name("ci"), BEGUN)


def probed(**changes):
    """Describe the run of the trial."""
    measures = {"security-injection": Measure(60, 60), "utility": Measure(value="0.7")}
    told = run(
        measures=measures, metrics={}, suite_digest=CONTENT, trial=NUMBER, log=trust().origin, policy=IN_FORCE,
        served=release().digest, isolation=("namespaces", "seccomp", "limits"), started_at=BEGUN,
        records={"probes": RECORD},
    )  # fmt: skip
    return replace(told, **changes)


def scanned(name="scan", **changes):
    """Describe a scan in which nothing was found."""
    found = {"suite": name, "harness": SCANNER, "suite_digest": RULES, "excused": (), "metrics": {}}
    return replace(run(), **(found | changes))


def second(**changes):
    """Describe what a second scanner said."""
    return scanned("scan/second", **({"harness": "other", "suite_digest": None, "excused": None} | changes))


def demanding(wanted=WANTED, scans=SCANS, **changes):
    """Demand everything."""
    return ruling(evaluations=(wanted,), scans=scans, **changes)


def shown(*runs, trials=(TRIAL,)):
    """Put a case together from these runs."""
    return replace(evidence(*runs), trials=tuple(trials))


def complete(**changes):
    """Put the whole good case together, with what is changed about its run."""
    return shown(probed(**changes), scanned(), second())


def permitted(case=None, ruled=None):
    """Judge a case by the policy that wants everything."""
    return judged(case or complete(), ruled=ruled or demanding())
