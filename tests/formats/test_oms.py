"""Which bundles are well formed? One good bundle, and every way to spoil it."""

import base64
import copy
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.formats import oms
from lockgate.formats.digest import Digest, dir_hash
from lockgate.formats.keys import PrivateKey
from lockgate.formats.oms import FileDigest
from tests.authority import authority, leaf

SIGNER = PrivateKey.from_seed(bytes(32))
CHUNKS = (b"\1" * 32, b"\2" * 32)
FILES = (
    FileDigest("config.json", Digest.of(b"{}"), 2, oms.CHUNK, (Digest.of(b"{}").raw,)),
    FileDigest("empty", Digest.of(b""), 0, oms.CHUNK, ()),
    FileDigest("sub/weights.safetensors", Digest.of(b"w"), oms.CHUNK + 1, oms.CHUNK, CHUNKS),
)
GOOD = oms.seal(FILES, SIGNER, signature_name="model.sig", subject="magika")
OWN = Path(__file__).parents[1] / "vectors" / "oms"
OTHERS = Path(os.environ.get("LOCKGATE_VECTORS", Path(__file__).parents[3] / "shared" / "vectors")) / "oms"

needs_vectors = pytest.mark.skipif(
    not OTHERS.is_dir(), reason=f"no OMS schemas and bundles at {OTHERS}: set LOCKGATE_VECTORS to their parent folder"
)


def taken_apart(bundle=GOOD):
    document = json.loads(bundle)
    return document, json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))


def encoded(document, statement):
    if isinstance(document.get("dsseEnvelope"), dict):
        document["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(document).encode()


def rerooted(statement):
    """Make subject digests follow the resources again, as a signer who lies in one field only would."""
    resources = statement["predicate"]["resources"]
    joined = bytes.fromhex("".join(resource["digest"] for resource in resources))
    lines = "".join(sorted(f"{resource['digest']}  {resource['name']}\n" for resource in resources))
    statement["subject"][0]["digest"] = {
        "sha256": hashlib.sha256(joined).hexdigest(),
        "dirHash": hashlib.sha256(lines.encode()).hexdigest(),
    }


def test_what_is_sealed_is_read_back():
    bundle = oms.parse(GOOD)

    assert bundle.files == FILES
    assert (bundle.subject, bundle.signature_name, bundle.certificates) == ("magika", "model.sig", ())
    assert bundle.dir_hash == dir_hash((file.name, file.sha256.hex) for file in FILES)
    assert bundle.root == Digest.of(b"".join(file.sha256.raw for file in FILES))
    assert bundle.hint == hashlib.sha256(SIGNER.public.pem).hexdigest()


def test_a_bundle_is_the_same_whatever_order_its_files_come_in():
    assert oms.seal(reversed(FILES), SIGNER, signature_name="model.sig", subject="magika") == GOOD


def test_a_bundle_of_another_tool_knows_digests_only_and_keeps_its_own_order():
    document, statement = taken_apart()
    statement["predicate"]["resources"] = [
        {"name": "b", "algorithm": "sha256", "digest": "22" * 32, "note": "unknown members are ignored"},
        {"name": "a", "algorithm": "sha256", "digest": "11" * 32},
    ]
    statement["predicate"]["serialization"]["ignore_paths"] += [".git", ".gitignore"]
    root = hashlib.sha256(b"\x22" * 32 + b"\x11" * 32).hexdigest()
    statement["subject"][0]["digest"] = {"sha256": root}
    document["dsseEnvelope"]["signatures"][0]["keyid"] = None

    bundle = oms.parse(encoded(document, statement))

    assert [(file.name, file.size, file.chunks) for file in bundle.files] == [("b", None, ()), ("a", None, ())]
    assert bundle.root.hex == root
    assert bundle.dir_hash == dir_hash([("a", "11" * 32), ("b", "22" * 32)])


def resource(**members):
    def spoil(_document, statement):
        statement["predicate"]["resources"][2] |= members
        rerooted(statement)

    return spoil


def annotation(number=2, **members):
    def spoil(_document, statement):
        statement["predicate"]["resources"][number]["annotations"] |= members

    return spoil


def serialization(**members):
    return lambda _document, statement: statement["predicate"]["serialization"].update(members)


def renamed(name):
    return resource(name=name)


def named(name):
    """Keep every digest and the OMS root; only a file name is another."""
    return lambda _document, statement: statement["predicate"]["resources"][0].update(name=name)


def skeleton(_document, statement):
    statement["predicate"]["resources"] = []
    statement["predicate"]["serialization"]["ignore_paths"] = ["."]
    rerooted(statement)


def twice(_document, statement):
    statement["predicate"]["resources"].append(copy.copy(statement["predicate"]["resources"][0]))
    rerooted(statement)


def without(*path):
    def spoil(document, statement):
        *way, last = path
        place = statement if way and way[0] == "statement" else document
        for step in way[1:] if place is statement else way:
            place = place[step]
        del place[last]

    return spoil


def extra(*path):
    def spoil(document, statement):
        place = statement if path[0] == "statement" else document
        for step in path[1:]:
            place = place[step]
        place["surprise"] = 1

    return spoil


def outer(**members):
    return lambda document, _statement: document.update(members)


def material(value):
    return lambda document, _statement: document.update(verificationMaterial=value)


def envelope(**members):
    return lambda document, _statement: document["dsseEnvelope"].update(members)


def second_signature(document, _statement):
    document["dsseEnvelope"]["signatures"] *= 2


def inner(**members):
    return lambda _document, statement: statement.update(members)


def subject(**members):
    return lambda _document, statement: statement["subject"][0].update(members)


SIG = {"sig": "AAAA", "keyid": ""}
HINT = {"hint": "aa"}
CERTIFICATE = {"rawBytes": "AAAA"}
NEAR_MISSES = {
    "skeleton": (skeleton, "resources is not a list of at least one"),
    "everything ignored": (serialization(ignore_paths=["model.sig", "."]), "ignore_paths leaves out more"),
    "root ignored": (serialization(ignore_paths=["."]), "not a relative path"),
    "nothing ignored by name": (serialization(ignore_paths=[""]), "not a relative path"),
    "ignored file is sealed too": (serialization(ignore_paths=["config.json"]), "two files have one name"),
    "ignored folder is sealed too": (serialization(ignore_paths=["sub"]), "is a file and the directory"),
    "ignores something odd": (serialization(ignore_paths=[["model.sig"]]), "not a relative path"),
    "ignores text": (serialization(ignore_paths="model.sig"), "ignore_paths is not a list"),
    "shards": (serialization(method="shards"), "method is 'shards', not 'files'"),
    "shard size": (serialization(shard_size=1), "unknown member 'shard_size'"),
    "blake3": (serialization(hash_type="blake3"), "hash_type is 'blake3'"),
    "symlinks": (serialization(allow_symlinks=True), "allow_symlinks is 'True'"),
    "symlinks, nearly": (serialization(allow_symlinks=0), "allow_symlinks is '0'"),
    "file by blake3": (resource(algorithm="blake3"), "hashed by 'blake3'"),
    "file without algorithm": (without("statement", "predicate", "resources", 0, "algorithm"), "hashed by 'None'"),
    "file without digest": (without("statement", "predicate", "resources", 0, "digest"), "digest is missing"),
    "file with a long digest": (resource(digest="11" * 64), "not a SHA-256"),
    "file with capitals": (resource(digest="AA" * 32), "not a SHA-256"),
    "file twice": (twice, "two files have one name"),
    "file twice but for case": (renamed("CONFIG.json"), "two files have one name"),
    "file and its folder": (renamed("empty/weights"), "is a file and the directory of"),
    "another name, same root": (named("modeling.py"), "dirHash is"),
    "no file at all": (inner(predicate={"resources": ["a"], "serialization": {}}), "resource is not an object"),
    "annotations are text": (resource(annotations="x"), "are not an object"),
    "size is less": (annotation(size=oms.CHUNK), "64 bytes of chunk digests, not 1 times 32"),
    "size is more": (annotation(size=3 * oms.CHUNK), "not 3 times 32"),
    "size is negative": (annotation(size=-1), "out of range"),
    "size is text": (annotation(size="1"), "out of range"),
    "size is true": (annotation(size=True), "out of range"),
    "chunks of one byte": (annotation(chunkSize=1), "out of range"),
    "chunks of nothing": (annotation(chunkSize=0), "out of range"),
    "chunks by blake3": (annotation(chunkAlgorithm="blake3"), "chunkAlgorithm is not sha256"),
    "chunks not base64": (annotation(chunks="!"), "is not base64"),
    "chunks cut": (annotation(chunks=base64.b64encode(b"1" * 33).decode()), "33 bytes of chunk digests"),
    "chunks missing": (resource(annotations={"size": 1, "chunkSize": oms.CHUNK, "chunkAlgorithm": "sha256"}), "chunks"),
    "only chunk is another": (annotation(0, chunks=base64.b64encode(b"1" * 32).decode()), "one chunk is not the file"),
    "empty, with a digest": (annotation(0, size=0, chunks=""), "an empty file has another digest"),
    "two subjects": (lambda _d, statement: statement["subject"].append(statement["subject"][0]), "2 subjects, not 1"),
    "no subject": (inner(subject=[]), "subject is not a list"),
    "subject without name": (subject(name=""), "name is missing"),
    "subject of other files": (subject(digest={"sha256": "11" * 32}), "but its resources hash to"),
    "subject by dirHash alone": (subject(digest={"dirHash": "11" * 32}), "has no sha256"),
    "subject by another hash": (extra("statement", "subject", 0, "digest"), "unknown member"),
    "dirHash of other names": (lambda _d, s: s["subject"][0]["digest"].update(dirHash="1" * 64), "dirHash is"),
    "other predicate": (inner(predicateType="https://model_signing/Digests/v0.1"), "predicateType is"),
    "other statement": (inner(_type="https://in-toto.io/Statement/v0.1"), "_type is"),
    "more predicate": (extra("statement", "predicate"), "unknown member 'surprise'"),
    "more statement": (extra("statement"), "unknown member 'surprise'"),
    "more bundle": (outer(surprise=1), "unknown member 'surprise'"),
    "older bundle": (outer(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.1"), "bundle is"),
    "no envelope": (without("dsseEnvelope"), "bundle has no dsseEnvelope"),
    "second signature": (second_signature, "2 signatures, not 1"),
    "no signature": (envelope(signatures=[]), "not a list of at least one"),
    "signature of no bytes": (envelope(signatures=[{"keyid": ""}]), "not a DSSE signature"),
    "keyid is a number": (envelope(signatures=[SIG | {"keyid": 1}]), "keyid is not text"),
    "other payload": (envelope(payloadType="application/json"), "DSSE payload is"),
    "envelope is text": (outer(dsseEnvelope=""), "not a DSSE envelope"),
    "no material": (material({}), "exactly one of"),
    "two materials": (material({"publicKey": HINT, "certificate": CERTIFICATE}), "exactly one of"),
    "key without hint": (material({"publicKey": {"rawBytes": "AAAA"}}), "publicKey has no hint"),
    "keyless without log": (material({"certificate": CERTIFICATE, "tlogEntries": []}), "without tlogEntries"),
    "log is text": (material({"publicKey": HINT, "tlogEntries": ""}), "tlogEntries is not a list"),
    "chain of none": (material({"x509CertificateChain": {"certificates": []}}), "certificates is not a list"),
    "chain too long": (material({"x509CertificateChain": {"certificates": [CERTIFICATE] * 9}}), "9 certificates"),
    "certificate not base64": (material({"x509CertificateChain": {"certificates": [{"rawBytes": "!"}]}}), "base64"),
}


@pytest.mark.parametrize("case", NEAR_MISSES)
def test_a_bundle_with_one_thing_spoilt_is_refused(case):
    spoil, why = NEAR_MISSES[case]
    document, statement = taken_apart()
    spoil(document, statement)

    with pytest.raises(VerificationError, match=why):
        oms.parse(encoded(document, statement))


def test_taking_apart_and_putting_together_spoils_nothing():
    assert oms.parse(encoded(*taken_apart())).files == FILES


def test_a_member_given_twice_is_refused_in_the_bundle_and_in_the_payload():
    document, statement = taken_apart()
    payload = json.dumps(statement).replace('"_type"', '"predicate": {}, "_type"', 1)
    document["dsseEnvelope"]["payload"] = base64.b64encode(payload.encode()).decode()

    for bad in (GOOD.replace(b'"mediaType"', b'"mediaType":"","mediaType"', 1), json.dumps(document).encode()):
        with pytest.raises(VerificationError, match="given twice"):
            oms.parse(bad)


BAD_NAMES = ["", ".", "..", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", "a\\b", "a\0b", "a\nb", "a\x7f",
             "a\u202eb", "a\u200bb", "\ud800", "a\u2028", "e\u0301", "x" * 1025, "/".join("a" * 65)]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_not_what_it_looks_like_is_refused(name):
    with pytest.raises(VerificationError, match="file name"):
        oms.check_name(name)


@pytest.mark.parametrize("name", ["a", ".gitattributes", "a b/c", "...", "é", "模型/权重.gguf", "/".join("a" * 64)])
def test_a_plain_relative_name_is_taken(name):
    oms.check_name(name)


@pytest.mark.parametrize("name", BAD_NAMES[1:])
def test_what_could_not_be_read_is_not_written(name):
    with pytest.raises(VerificationError):
        oms.seal([FileDigest(name, Digest.of(b""))], SIGNER)


def test_one_name_twice_is_refused_even_when_it_is_one_object():
    with pytest.raises(VerificationError, match="two files have one name"):
        oms.seal([FILES[0], FILES[0]], SIGNER)


def test_certificates_of_another_key_are_not_put_beside_a_signature():
    mine, other = leaf(authority(), "mine"), leaf(authority(), "other")

    with pytest.raises(VerificationError, match="about another key"):
        oms.seal(FILES, mine.signer, certificates=[other.der])


def test_the_bytes_of_a_bundle_stay_as_they_are():
    assert (OWN / "lockgate-key.bundle.json").read_bytes() == GOOD + b"\n"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_bundle_or_a_verification_error(data):
    with pytest.raises(VerificationError):
        oms.parse(data)


@given(st.data())
def test_any_member_may_be_any_json(data):
    values: st.SearchStrategy[object] = st.sampled_from([None, True, 0, -1, "", "a", [], {}, [[]], {"a": None}])
    parts = taken_apart()
    place = parts[data.draw(st.integers(0, 1))]
    while True:
        step = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[step], dict | list) or not place[step] or data.draw(st.booleans()):
            break
        place = place[step]
    place[step] = data.draw(values)

    with suppress(VerificationError):
        oms.parse(encoded(*parts))


@given(st.dictionaries(st.from_regex(r"[a-z]{1,4}(/[a-z]{1,3})?", fullmatch=True), st.binary(max_size=4), min_size=1))
def test_whatever_is_sealed_is_read_back(contents):
    files = [
        FileDigest(name, Digest.of(content), len(content), oms.CHUNK, (Digest.of(content).raw,) if content else ())
        for name, content in contents.items()
        if not any(other.startswith(f"{name}/") for other in contents)
    ]

    assert list(oms.parse(oms.seal(files, SIGNER)).files) == sorted(files, key=lambda file: file.name)


def validators():
    schemas = {name: json.loads((OTHERS / "schemas" / "v1.0" / f"{name}.schema.json").read_text())
               for name in ("bundle", "envelope", "statement", "predicate")}  # fmt: skip
    registry = jsonschema_rs.Registry([(schema["$id"], schema) for schema in schemas.values()])
    return [jsonschema_rs.validator_for(schemas[name], registry=registry) for name in ("bundle", "statement")]


@needs_vectors
@pytest.mark.parametrize("certified", [False, True])
def test_our_bundles_follow_the_published_schemas(certified):
    root = authority()
    signed = leaf(root)
    sealed = oms.seal(FILES, signed.signer, certificates=[signed.der, root.der]) if certified else GOOD

    for validator, document in zip(validators(), taken_apart(sealed), strict=True):
        validator.validate(document)


@needs_vectors
@pytest.mark.parametrize("name", ["key", "certificate"])
def test_published_valid_bundles_are_read(name):
    bundle = oms.parse((OTHERS / "test-vectors" / "v1.0" / "valid" / f"{name}.bundle.json").read_bytes())

    assert [file.name for file in bundle.files] == ["signme-1", "signme-2"]
    assert bundle.signature_name == "ignore-me"  # the one path it leaves out; nothing else may lie there


@needs_vectors
def test_a_published_bundle_that_leaves_out_more_than_its_signature_is_refused():
    with pytest.raises(VerificationError, match=r"leaves out more than the signature: .*ignore-me.*model\.sig"):
        oms.parse((OTHERS / "test-vectors" / "v1.0" / "valid" / "sigstore.bundle.json").read_bytes())


INVALID = {
    "invalid/empty": "not JSON",
    "invalid/missing-envelope": "bundle has no dsseEnvelope",
    "invalid/missing-verification-material": "bundle has no verificationMaterial",
    "invalid/missing-tlog-entries": "without tlogEntries",
    "invalid-payload/wrong-predicate": "predicateType is",
}


@needs_vectors
@pytest.mark.parametrize("name", INVALID)
def test_published_invalid_bundles_are_refused(name):
    with pytest.raises(VerificationError, match=INVALID[name]):
        oms.parse((OTHERS / "test-vectors" / "v1.0" / f"{name}.bundle.json").read_bytes())


@needs_vectors
def test_every_published_invalid_bundle_has_a_verdict_here():
    folder = OTHERS / "test-vectors" / "v1.0"
    found = {f"{kind}/{path.name.removesuffix('.bundle.json')}" for kind in ("invalid", "invalid-payload")
             for path in (folder / kind).glob("*.json")}  # fmt: skip

    assert found == INVALID.keys()
