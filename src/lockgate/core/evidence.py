"""What was proved about a release? Signed statements about its digest, name and version; nothing else counts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from lockgate.core.measure import Measure, check_measure
from lockgate.core.release import Release
from lockgate.core.trial import Trial
from lockgate.core.trust import Purpose, Trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey
from lockgate.formats.statement import PROVENANCE, TEST_RESULT, Statement, Subject, parse_statement

CLOCK_SKEW = timedelta(minutes=5)
_KEPT = 1024  # statements whose bytes were read: the same ones are judged again and again, their signatures each time


class Verdict(StrEnum):
    """How a test ended (in-toto test-result v0.1)."""

    PASSED = "PASSED"
    WARNED = "WARNED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class TestRun:
    """A test result: which suite ran, by which harness, against which thresholds, and what it measured.

    Numbers are decimal text, because canonical JSON has no floats. What older results do not say is None: of which
    content the suite was, which `trial` of which `log` this is, what was counted, which release the tested server was
    proved to have (`served`), what held it (`isolation`), under which `policy` it began, and which exceptions a scan
    used (`excused`).
    """

    __test__ = False  # pytest: this is no test class
    result: Verdict
    suite: str
    suite_version: str
    harness: str
    harness_version: str
    thresholds: Mapping[str, str]
    metrics: Mapping[str, str]
    finished_at: datetime
    suite_digest: Digest | None = None
    trial: int | None = None
    log: str | None = None
    measures: Mapping[str, Measure] | None = None
    served: Digest | None = None
    isolation: tuple[str, ...] | None = None
    policy: Digest | None = None
    excused: tuple[str, ...] | None = None
    started_at: datetime | None = None
    records: Mapping[str, Digest] | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a release came from (SLSA provenance v1). Training data is listed by checksum, or said to be unknown."""

    build_type: str
    builder: str
    authorized_by: str
    training_data: Mapping[str, Digest] | None
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """One verified statement about one release: the checked form.

    `payload` is what tells it from others: anybody can write the envelope around it anew, by another `digest`.
    """

    about: Provenance | TestRun
    digest: Digest
    signed_by: PublicKey
    payload: Digest


def subject_of(release: Release) -> Subject:
    """Name the release as the subject of a statement: tag and digest together."""
    return Subject(str(release.manifest.tag), {"sha256": release.digest.hex})


def open_evidence(document: bytes, release: Release, trust: Trust, at: datetime) -> Evidence:
    """Verify one statement: by a signer trusted for its predicate, and about exactly this digest, name and version.

    What the parent of a release passed is about other bytes, and counts as little as anybody else's.

    Enforces: signed_test_results, quantization_reevaluation
    """
    return _open(document, release, lambda predicate: trust.keys_for(Purpose.RESULT, at, predicate))


def open_held(document: bytes, release: Release, trust: Trust, written: Trust, at: datetime) -> Evidence:
    """Verify a statement that is held: a test that FAILED is not forgotten with the key that signed it.

    It counts by any key that the trust document, as it was `written`, has for results: revoked, or its time over.
    """
    try:
        return open_evidence(document, release, trust, at)
    except VerificationError as refused:
        try:
            found = _open(document, release, lambda predicate: written.keys_ever(Purpose.RESULT, predicate))
        except VerificationError:
            raise refused from None
        if isinstance(found.about, TestRun) and found.about.result is Verdict.FAILED:
            return found
        raise


def _open(document: bytes, release: Release, keys: Callable[[str], Iterable[PublicKey]]) -> Evidence:
    envelope = dsse.parse(document)
    statement = _statement(envelope.payload)  # it says whose signature is wanted; read on only if it is there
    opened = dsse.open_envelope(envelope, dsse.IN_TOTO, keys(statement.predicate_type))
    assert opened.payload == envelope.payload
    if statement.subject != (subject_of(release),):
        found = statement.subject[0]
        digest = str(found.digest.get("sha256", "none"))[:16]
        raise VerificationError(
            f"the statement is about {found.name[:80]} sha256:{digest}…, "
            f"not about {release.manifest.tag} {str(release.digest)[:23]}…"
        )
    about = _about(envelope.payload)
    if isinstance(about, TestRun) and about.served not in (None, release.digest):
        raise VerificationError(f"the server that suite {about.suite[:80]!a} tested had release {about.served}")
    return Evidence(about, Digest.of(document), opened.keys[0], Digest.of(envelope.payload))


def payload_of(document: bytes) -> Digest:
    """Name what a statement says, whoever wrote the envelope around it."""
    return Digest.of(dsse.parse(document).payload)


@lru_cache(maxsize=_KEPT)
def _statement(payload: bytes) -> Statement:
    return parse_statement(payload)


@lru_cache(maxsize=_KEPT)
def _about(payload: bytes) -> Provenance | TestRun:
    return _read(_statement(payload))


def check_new(evidence: Evidence, held: Iterable[Digest], now: datetime) -> None:
    """Raise `DeniedError` for what is held already, by its payload, or of a time to come, which none could replace."""
    if evidence.payload in held:
        raise DeniedError("the release holds this statement already")
    if evidence.about.finished_at > now + CLOCK_SKEW:
        raise DeniedError(f"the statement is of {evidence.about.finished_at}, later than now ({now})")


def check_tried(about: Provenance | TestRun, trials: Iterable[Trial], log: str) -> None:
    """Raise `DeniedError` for a result of a trial that this log never held; one of another log is only foreign."""
    if isinstance(about, Provenance) or about.trial is None or about.log != log:
        return
    if not any((trial.number, trial.suite) == (about.trial, about.suite) for trial in trials):
        raise DeniedError(f"the log holds no trial {about.trial} of suite {about.suite[:80]!a} over this release")


def latest_runs(evidence: Iterable[Evidence]) -> Mapping[str, Sequence[TestRun]]:
    """Choose for each suite the run that finished last, or all that finished together then: each of them must hold."""
    latest: dict[str, list[TestRun]] = {}
    for run in (item.about for item in evidence if isinstance(item.about, TestRun)):
        held = latest.setdefault(run.suite, [run])
        if run.finished_at > held[0].finished_at:
            latest[run.suite] = [run]
        elif run.finished_at == held[0].finished_at and run not in held:
            held.append(run)
    return latest


def test_result(run: TestRun) -> Mapping[str, Json]:
    """Write a test run as a test-result predicate (in-toto test-result v0.1, with our extension `lockgate`).

    What a run does not say is left out, so a result of an older form is written as it always was.
    """
    extension = plain.to_plain(run)
    assert isinstance(extension, dict)
    return {
        "result": run.result.value,
        "configuration": [{"name": f"{run.suite}@{run.suite_version}"}],
        "lockgate": {name: value for name, value in extension.items() if name != "result" and value is not None},
    }


def provenance(made: Provenance) -> Mapping[str, Json]:
    """Write a provenance predicate (SLSA provenance v1, build type by our own URI)."""
    data: Json = (
        "unknown"
        if made.training_data is None
        else [{"name": name, "digest": {"sha256": d.hex}} for name, d in sorted(made.training_data.items())]
    )
    return {
        "buildDefinition": {
            "buildType": made.build_type,
            "externalParameters": {"authorizedBy": made.authorized_by, "trainingData": data},
        },
        "runDetails": {
            "builder": {"id": made.builder},
            "metadata": {"finishedOn": plain.to_plain(made.finished_at)},
        },
    }


def _read(statement: Statement) -> Provenance | TestRun:
    if statement.predicate_type == TEST_RESULT:
        extension = _member(statement.predicate, "lockgate")
        said = {**extension, "result": statement.predicate.get("result")}
        return _checked(plain.from_plain(TestRun, said, "test result"))
    if statement.predicate_type == PROVENANCE:
        return _provenance(statement.predicate)
    raise VerificationError(f"predicate {statement.predicate_type[:80]!a} is not one that can be judged")


def _checked(run: TestRun) -> TestRun:
    for name, measure in (run.measures or {}).items():
        check_measure(name, measure)
    if run.started_at is not None and run.started_at > run.finished_at:
        raise VerificationError(f"the run of suite {run.suite[:80]!a} finished before it started")
    return run


def _provenance(predicate: Mapping[str, Json]) -> Provenance:
    definition, details = _member(predicate, "buildDefinition"), _member(predicate, "runDetails")
    parameters, builder = _member(definition, "externalParameters"), _member(details, "builder")
    data = parameters.get("trainingData")
    if data != "unknown" and not isinstance(data, list):
        raise VerificationError("provenance: trainingData is neither a list nor the word unknown")
    datasets = [_dataset(item) for item in data] if isinstance(data, list) else None
    if datasets is not None and len(dict(datasets)) != len(datasets):
        raise VerificationError("provenance: a dataset is listed twice")
    return plain.from_plain(
        Provenance,
        {
            "build_type": definition.get("buildType"),
            "builder": builder.get("id"),
            "authorized_by": parameters.get("authorizedBy"),
            "training_data": None if datasets is None else dict(datasets),
            "finished_at": _member(details, "metadata").get("finishedOn"),
        },
        "provenance",
    )


def _dataset(item: Json) -> tuple[str, Json]:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise VerificationError("provenance: a dataset has no name")
    digests = item.get("digest")
    digest = digests.get("sha256") if isinstance(digests, dict) else None
    return str(item["name"]), f"sha256:{digest}"


def _member(value: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise VerificationError(f"the predicate has no object {name}")
    return found
