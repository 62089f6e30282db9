"""How is a suite tried over a release, from the log and back into it? Fetched, begun, scanned, run, compared, attested.

    fetch and compare every byte ──▶ written in the log: a trial ──▶ scan ──▶ run in the sandbox ──▶ compare again
                                                                        └──▶ attest                    └──▶ attest
                                                                                or, of a shard:        └──▶ sign it

A trial that this program does not bring to an end stays in the log without a result, and denies.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lockgate.cli.fetching import Release, fetch_candidate, read_release
from lockgate.cli.releasing import Signable, sign_statement
from lockgate.cli.speaking import now, signer
from lockgate.core import trial as of_log
from lockgate.core.evidence import TestRun, test_result
from lockgate.core.policy import Evaluation, Policy, Rules
from lockgate.core.shard import sign_shard
from lockgate.core.trial import Attempt
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.evaluator.assignment import ALL, Assignment, Portion
from lockgate.evaluator.candidate import Candidate
from lockgate.evaluator.conducting import Trial, check_runs, conduct, result_of, shard_of
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
    portion: Portion = ALL
    trial: int | None = None  # the one to join; else another is begun


@dataclass(frozen=True, slots=True)
class Demanded:
    """What the policy in force demands at an endpoint, of this suite and of scans."""

    rules: Rules
    block: Evaluation | None


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of it, and the results that say so; none if nobody signs. Of a shard there is that, signed."""

    measured: Measured
    scan: Scan
    release: Digest
    runs: Mapping[str, tuple[TestRun, int]]
    trial: int | None = None
    shard: bytes | None = None


class Bench:
    """Where a release is tried: a server, a key for results, a sandbox and an empty folder."""

    def __init__(self, connection: Connection, key: str | None, sandbox: Sandbox, folder: Path) -> None:
        self._connection, self._key, self._sandbox, self._folder = connection, key, sandbox, folder

    def find(self, wanted: Wanted) -> tuple[Release, Demanded]:
        """Read what is to be tried and what is demanded; raise for what could not count, before anything is begun."""
        check_runs(wanted.suite, wanted.portion)
        if wanted.around.workshop is not None and "served" in wanted.suite.about.needs:
            raise UnavailableError(f"suite {wanted.suite.about.name} needs what serves, and a Job serves nobody")
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
        trial = self._trial(wanted, demanded, candidate)
        started_at = now()
        found, runs = self._scanned(wanted, demanded, candidate)
        given = Assignment(wanted.suite, candidate, found, self._sandbox, wanted.around, tell, wanted.portion)
        measured = conduct(given)
        check_unchanged(candidate)
        if trial is None or self._key is None:
            return Tested(measured, found, candidate.release, runs)
        if not wanted.portion.is_all:
            shard = sign_shard(shard_of(given, measured, trial, started_at, now()), signer(self._key))
            return Tested(measured, found, candidate.release, runs, trial.number, shard)
        result = result_of(given, measured, trial, started_at, now())
        runs |= self._attested(wanted, candidate, result)
        return Tested(measured, found, candidate.release, runs, trial.number)

    def _scanned(
        self, wanted: Wanted, demanded: Demanded, candidate: Candidate
    ) -> tuple[Scan, dict[str, tuple[TestRun, int]]]:
        """Scan, and ask the other scanners, each with a result of its own; what one of them found is not started."""
        began = now()
        found = scan(candidate.folder, exceptions=_accepted(demanded.rules), members=_members(candidate))
        runs = self._attested(wanted, candidate, scan_run(found, started_at=began, finished_at=now()))
        files = found.files
        for command in wanted.also:
            began, opinion = now(), ask(command, candidate.folder, files)
            result = opinion_run(opinion, files, started_at=began, finished_at=now())
            runs |= self._attested(wanted, candidate, result)
            found = joined(found, opinion)
        return found, runs

    def _demanded(self, wanted: Wanted) -> Demanded:
        name = str(wanted.suite.about.name)
        demanded = demands_of(self._connection, wanted.endpoint, name)
        if demanded.block is None and self._key is not None:
            raise DeniedError(f"the policy demands nothing of suite {name} at {wanted.endpoint}: no result would count")
        return demanded

    def _trial(self, wanted: Wanted, demanded: Demanded, candidate: Candidate) -> Trial | None:
        """Begin a trial, or join one that was begun for exactly this; nobody who signs nothing has one."""
        block = demanded.block
        if self._key is None or block is None:
            return None
        about, number = wanted.suite.about, wanted.trial
        attempt = Attempt(
            wanted.tag, candidate.release, str(about.name), about.version, wanted.suite.digest, block.digest,
            wanted.endpoint,
        )  # fmt: skip
        if number is None:
            where = f"/api/v1/releases/{wanted.tag.name}/{wanted.tag.version}/trials"
            intent = self._connection.intend("trial.begin", wanted.tag, after=attempt.digest)
            number = int(str(self._connection.act(where, intent, attempt=attempt)["first"]))
        held = find_trial(self._connection, wanted.tag, number)
        begun = Attempt(
            wanted.tag, candidate.release, held.suite, held.suite_version, held.suite_digest, held.demands,
            held.endpoint,
        )  # fmt: skip
        if begun != attempt:
            raise DeniedError(f"trial {number} was begun for another suite, endpoint or demand than this")
        return Trial(number, log_of(self._connection), held.begun_at, block, held.policy)

    def _attested(self, wanted: Wanted, candidate: Candidate, run: TestRun) -> dict[str, tuple[TestRun, int]]:
        """Attest a result; what every shard finds, the first of them attests."""
        if self._key is None or wanted.portion.number > 1:
            return {}
        claim = Signable(TEST_RESULT, test_result(run))
        signed = sign_statement(self._connection, wanted.tag, str(candidate.release), self._key, claim)
        return {run.suite: (run, int(str(signed["entry"])))}


def demands_of(connection: Connection, endpoint: Endpoint, suite: str) -> Demanded:
    """Read what the policy in force demands of a suite at an endpoint."""
    envelope = dsse.parse(connection.fetch("/api/v1/policy"))
    rules = plain.decode(Policy, envelope.payload).rules_for(endpoint)
    return Demanded(rules, next((block for block in rules.evaluations if block.suite == suite), None))


def find_trial(connection: Connection, tag: Tag, number: int) -> of_log.Trial:
    """Read what the log says of a trial of a release; raise `VerificationError` if it knows none."""
    items = connection.get(f"/api/v1/releases/{tag.name}/{tag.version}/trials")["items"]
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and item.get("number") == number:
            return plain.from_plain(of_log.Trial, item, "trial")
    raise VerificationError(f"the log holds no trial {number} over {tag}")


def log_of(connection: Connection) -> str:
    """Name the log of the installation."""
    return str(connection.get("/api/v1/installation")["origin"])


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
