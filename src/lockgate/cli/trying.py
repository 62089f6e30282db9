"""How is a suite tried over a release, from the log and back into it? Fetched, begun, scanned, run, compared, attested.

    fetch and compare every byte ──▶ written in the log: a trial ──▶ scan ──▶ run in the sandbox ──▶ compare again
                                                                        └──▶ attest                    └──▶ attest

A trial that this program does not bring to an end stays in the log without a result, and denies.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lockgate.cli.fetching import Release, fetch_candidate, read_release
from lockgate.cli.releasing import Signable, sign_statement
from lockgate.cli.speaking import now
from lockgate.core.evidence import TestRun, test_result
from lockgate.core.policy import Evaluation, Policy, Rules
from lockgate.core.trial import Attempt
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.evaluator.assignment import Assignment
from lockgate.evaluator.candidate import Candidate
from lockgate.evaluator.conducting import Trial, conduct, harness_of, result_of
from lockgate.evaluator.measured import Measured, Tell
from lockgate.evaluator.on_trial import Surroundings
from lockgate.evaluator.sandbox import Job, Sandbox
from lockgate.evaluator.suite_folder import Suite
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Tag
from lockgate.formats.statement import TEST_RESULT
from lockgate.loader.connection import Connection
from lockgate.loader.source import DirectorySource
from lockgate.loader.verified_read import copy_verified
from lockgate.scanner.folder import scan
from lockgate.scanner.scanned import Scan
from lockgate.scanner.second_opinion import ask, joined
from lockgate.scanner.testimony import opinion_run, scan_run

Watch = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to see tried, and where."""

    tag: Tag
    endpoint: Endpoint
    suite: Suite
    digest: Digest | None
    around: Surroundings
    also: tuple[str, ...] = ()  # commands of other scanners


@dataclass(frozen=True, slots=True)
class Demanded:
    """What the policy in force demands at an endpoint, of this suite and of scans."""

    rules: Rules
    block: Evaluation | None
    policy: Digest


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of it, and the results that say so; none if nobody signs."""

    measured: Measured
    scan: Scan
    release: Digest
    runs: Mapping[str, tuple[TestRun, int]]


class Bench:
    """Where a release is tried: a server, a key for results, a sandbox and an empty folder."""

    def __init__(self, connection: Connection, key: str | None, sandbox: Sandbox, folder: Path) -> None:
        self._connection, self._key, self._sandbox, self._folder = connection, key, sandbox, folder

    def find(self, wanted: Wanted) -> tuple[Release, Demanded]:
        """Read what is to be tried and what is demanded; raise for what could not count, before anything is begun."""
        harness_of(wanted.suite.about.harness)
        release = read_release(self._connection, wanted.tag, wanted.digest)
        demanded = self._demanded(wanted)
        held = self._sandbox.run(Job(("/bin/true",)))
        if held.code or held.why:
            raise UnavailableError(f"the sandbox does not run anything: {held.why or held.code}")
        block = demanded.block
        if block and (lacking := sorted(set(block.isolation or ()) - set(held.isolation))):
            raise DeniedError(
                f"the policy wants {', '.join(lacking)} to hold this suite, and here it would not be held"
            )
        return release, demanded

    def fetch(self, release: Release, watch: Watch) -> Candidate:
        """Bring the files of a release here, each byte compared."""
        return fetch_candidate(self._connection, release, self._folder, watch)

    def test(self, wanted: Wanted, demanded: Demanded, candidate: Candidate, tell: Tell) -> Tested:
        """Begin the trial, scan, run, compare again, and attest every result."""
        trial = self._begun(wanted, demanded, candidate)
        started_at = now()
        found, runs = self._scanned(wanted, demanded, candidate)
        given = Assignment(wanted.suite, candidate, found, self._sandbox, wanted.around, tell)
        measured = conduct(given)
        check_unchanged(candidate)
        if trial is not None:
            result = result_of(given, measured, trial, started_at, now())
            runs |= self._attested(wanted.tag, candidate, result)
        return Tested(measured, found, candidate.release, runs)

    def _scanned(
        self, wanted: Wanted, demanded: Demanded, candidate: Candidate
    ) -> tuple[Scan, dict[str, tuple[TestRun, int]]]:
        """Scan, and ask the other scanners, each with a result of its own; what one of them found is not started."""
        began = now()
        found = scan(candidate.folder, exceptions=_accepted(demanded.rules), members=_members(candidate))
        runs = self._attested(wanted.tag, candidate, scan_run(found, started_at=began, finished_at=now()))
        files = found.files
        for command in wanted.also:
            began, opinion = now(), ask(command, candidate.folder, files)
            result = opinion_run(opinion, files, started_at=began, finished_at=now())
            runs |= self._attested(wanted.tag, candidate, result)
            found = joined(found, opinion)
        return found, runs

    def _demanded(self, wanted: Wanted) -> Demanded:
        envelope = dsse.parse(self._connection.fetch("/api/v1/policy"))
        policy = plain.decode(Policy, envelope.payload)
        rules, name = policy.rules_for(wanted.endpoint), str(wanted.suite.about.name)
        block = next((block for block in rules.evaluations if block.suite == name), None)
        if block is None and self._key is not None:
            raise DeniedError(f"the policy demands nothing of suite {name} at {wanted.endpoint}: no result would count")
        return Demanded(rules, block, Digest.of(envelope.payload))

    def _begun(self, wanted: Wanted, demanded: Demanded, candidate: Candidate) -> Trial | None:
        if self._key is None or demanded.block is None:
            return None
        about, where = wanted.suite.about, f"/api/v1/releases/{wanted.tag.name}/{wanted.tag.version}/trials"
        attempt = Attempt(
            wanted.tag, candidate.release, str(about.name), about.version, wanted.suite.digest, demanded.block.digest,
            wanted.endpoint,
        )  # fmt: skip
        intent = self._connection.intend("trial.begin", wanted.tag, after=attempt.digest)
        number = int(str(self._connection.act(where, intent, attempt=attempt)["first"]))
        log = str(self._connection.get("/api/v1/installation")["origin"])
        return Trial(number, log, self._begun_at(where, number), demanded.block, demanded.policy)

    def _begun_at(self, where: str, number: int) -> datetime:
        items = self._connection.get(where)["items"]
        for item in items if isinstance(items, list) else []:
            if isinstance(item, dict) and item.get("number") == number:
                return plain.from_plain(datetime, item["begun_at"])
        raise VerificationError(f"the server wrote trial {number} down, and does not list it")

    def _attested(self, tag: Tag, candidate: Candidate, run: TestRun) -> dict[str, tuple[TestRun, int]]:
        if self._key is None:
            return {}
        claim = Signable(TEST_RESULT, test_result(run))
        signed = sign_statement(self._connection, tag, str(candidate.release), self._key, claim)
        return {run.suite: (run, int(str(signed["entry"])))}


def check_unchanged(candidate: Candidate) -> None:
    """Raise `VerificationError` if a file of a candidate is not what it was when it came: then nothing was tested."""
    source = DirectorySource(candidate.folder)
    for component, files in candidate.files.items():
        for file in files:
            with closing(source.open(component, file)) as opened:
                copy_verified(opened.readinto, file, lambda _piece: None, component=component)


def _accepted(rules: Rules) -> frozenset[str]:
    return frozenset(rules.scans.exceptions or ()) if rules.scans else frozenset()


def _members(candidate: Candidate) -> Mapping[str, Digest]:
    return {f"{name}/{file.name}": file.sha256 for name, files in candidate.files.items() for file in files}
