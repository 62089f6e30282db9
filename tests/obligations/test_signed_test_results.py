"""Is a result signed by somebody trusted for it, and bound to what was tested, the harness and the thresholds?"""

from dataclasses import replace

import pytest

from lockgate.app.attest import attest
from lockgate.core.evidence import open_evidence, subject_of
from lockgate.core.evidence import test_result as predicate_of
from lockgate.core.release import Release
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.statement import TEST_RESULT, Statement
from tests.world import SUITE, World, key


def take(world: World, release: Release, document: bytes, who: str = "ci", about: bytes = b"") -> None:
    said = world.say(who, "release.attest", release.manifest.tag, after=Digest.of(about or document))
    attest(world.installation, release.manifest.tag, document, said, world.now)


def test_a_result_names_suite_harness_and_thresholds_and_is_kept_with_its_release(world: World) -> None:
    release = world.serve()

    (run,) = world.admit().decision.test_results
    assert (run.suite, run.suite_version, run.harness, run.harness_version) == (SUITE, "1.0.0", "harness", "2.0.0")
    assert dict(run.thresholds) == {"accuracy": "0.95"} and dict(run.metrics) == {"accuracy": "0.99"}
    assert len(world.record(str(release.manifest.tag)).evidence) == 2


@pytest.mark.parametrize("signer", ["mallory", "components", "ci", "alice", "prod-vsa"])
def test_a_result_by_anybody_else_is_refused(world: World, signer: str) -> None:
    release = world.register()

    with pytest.raises(VerificationError, match="no key that is trusted for this has signed it"):
        take(world, release, world.statement(release, world.ran(), signer))


def test_an_edited_result_is_refused(world: World) -> None:
    release = world.register()
    envelope = dsse.parse(world.statement(release, world.ran(accuracy="0.91")))
    edited = replace(envelope, payload=envelope.payload.replace(b'"0.91"', b'"0.99"')).encode()

    with pytest.raises(VerificationError, match="no key that is trusted for this has signed it"):
        take(world, release, edited)


def test_a_result_cannot_be_moved_to_another_release(world: World) -> None:
    first, second = world.register("1.0.0"), world.register("1.1.0")

    with pytest.raises(VerificationError, match=r"the statement is about magika@1\.0\.0"):
        take(world, second, world.statement(first, world.ran()))


def test_a_result_is_taken_in_once_and_by_who_may(world: World) -> None:
    release = world.register()
    document = world.statement(release, world.ran())
    take(world, release, document)

    with pytest.raises(DeniedError, match="the release holds this statement already"):
        take(world, release, document)
    with pytest.raises(DeniedError, match="bob has no right to release"):
        take(world, release, document, "bob")
    with pytest.raises(DeniedError, match="the intent says after"):
        take(world, release, document, about=b"another statement")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"measures": {"recall": {"passed": 1, "of": 0, "value": None}}}, "counts 1 of 0"),
        ({"measures": {"recall": {"passed": 0, "of": 0, "value": None}}}, "counts 0 of 0"),
        ({"measures": {"recall": {"passed": 3, "of": 2, "value": None}}}, "counts 3 of 2"),
        ({"measures": {"recall": {"passed": -1, "of": 2, "value": None}}}, "counts -1 of 2"),
        (
            {"measures": {"recall": {"passed": 1, "of": 2, "value": "0.5"}}},
            "is not either a count",
        ),
        ({"measures": {"recall": {"passed": "1", "of": 2, "value": None}}}, "found str, wanted int"),
        ({"measures": {"recall": {"value": "NaN"}}}, "not a decimal number"),
        ({"measures": {"recall": {"rate": "1"}}}, "unknown member 'rate'"),
        ({"measures": []}, "wanted an object"),
        ({"trial": "7"}, "found str, wanted int"),
        ({"trial": True}, "found bool, wanted int"),
        ({"served": "magika"}, "served"),
        ({"started_at": "2036-01-01T00:00:00.000000Z"}, "finished before it started"),
        ({"more": 1}, "unknown member 'more'"),
        ({"suite": None}, "found NoneType, wanted str"),
    ],
)
def test_a_result_that_means_nothing_is_refused(world: World, changes: dict[str, Json], reason: str) -> None:
    release = world.register()
    predicate = dict(predicate_of(world.ran()))
    predicate["lockgate"] = {**predicate["lockgate"], **changes}  # type: ignore[dict-item]

    with pytest.raises(VerificationError, match=reason):
        take(world, release, signed(Statement((subject_of(release),), TEST_RESULT, predicate).encode()))


BAD = {
    "empty": b"",
    "truncated": None,
    "not UTF-8": b"\xff\xfe{}",
    "no JSON": b"PASSED",
    "a float": b'{"predicate": 0.5}',
    "a member twice": b'{"_type": "x", "_type": "y"}',
    "one that is too large": b'{"_type": "' + b"x" * (1 << 20) + b'"}',
}


@pytest.mark.parametrize("name", BAD)
def test_a_report_that_is_none_is_refused_signed_or_not(world: World, name: str) -> None:
    release = world.register()
    content = BAD[name] if BAD[name] is not None else dsse.parse(world.statement(release, world.ran())).payload[:-9]
    assert content is not None

    for document in (content, signed(content)):
        with pytest.raises(VerificationError):
            take(world, release, document)
    assert world.record(str(release.manifest.tag)).evidence == ()


def test_a_gigabyte_is_refused_before_it_is_read(world: World) -> None:
    release = world.register()
    size = 1 << 30

    with pytest.raises(VerificationError, match=f"JSON has {size} bytes, more than the 1048576 allowed"):
        open_evidence(bytes(size), release, world.trust, world.now)


def signed(payload: bytes) -> bytes:
    return dsse.sign(payload, dsse.IN_TOTO, [key("results")]).encode()


def test_an_envelope_that_was_written_anew_is_no_second_result(world: World) -> None:
    release = world.register()
    document = world.statement(release, world.ran())
    take(world, release, document)
    envelope = dsse.parse(document)
    unnamed = tuple(replace(one, key_id="") for one in envelope.signatures)

    for again in (replace(envelope, signatures=unnamed).encode(), document + b" ", b" " + document):
        with pytest.raises(DeniedError, match="the release holds this statement already"):
            take(world, release, again, "alice")
    assert len(world.record(str(release.manifest.tag)).evidence) == 1
