"""Whose seals are believed? By key and by certificate, with each way to get it wrong."""

import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from lockgate.core.component import open_component
from lockgate.errors import VerificationError
from lockgate.formats import oms
from lockgate.formats.certificates import key_of, read_certificates
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PrivateKey
from lockgate.formats.oms import FileDigest
from tests.authority import DAY, NOW, authority, ec_key, leaf

VECTORS = Path(__file__).parents[1] / "vectors" / "oms"
FILES = (FileDigest("a", Digest.of(b"a")), FileDigest("b", Digest.of(b"b")))
MINE, OTHER = PrivateKey.from_seed(bytes(32)), PrivateKey.from_seed(b"\1" * 32)
ROOT = authority("root")
MIDDLE = authority("middle", ROOT, path_length=0)
SIGNER = leaf(MIDDLE)
CHAIN = [SIGNER.der, MIDDLE.der]


def p384():
    return leaf(ROOT, curve=ec.SECP384R1()).signer


def chained(signed=SIGNER, *others):
    return oms.seal(FILES, signed.signer, certificates=[signed.der, *(other.der for other in others)])


@pytest.mark.parametrize("signer", [MINE, SIGNER.signer, p384()], ids=lambda signer: signer.public.algorithm)
def test_a_bundle_of_a_trusted_key_is_opened(signer):
    bundle = oms.seal(FILES, signer, signature_name="model.sig")

    component = open_component(bundle, [OTHER.public, signer.public], at=NOW)

    assert (component.files, component.signed_by, component.signature_name) == (FILES, signer.public, "model.sig")
    assert (component.bundle, component.dir_hash) == (Digest.of(bundle), oms.parse(bundle).dir_hash)
    assert component.chain is component.certificate is None


@pytest.mark.parametrize("keys", [[], [OTHER.public], [OTHER.public, SIGNER.signer.public]])
def test_a_bundle_of_another_key_is_refused(keys):
    with pytest.raises(VerificationError, match="no key that is trusted for this has signed it"):
        open_component(oms.seal(FILES, MINE), keys, at=NOW)


def spoilt(part, **members):
    document = json.loads(oms.seal(FILES, MINE))
    place = document
    for step in part:
        place = place[step]
    place.update(members)
    return json.dumps(document).encode()


ENVELOPE = ["dsseEnvelope"]
SIGNATURE = ["dsseEnvelope", "signatures", 0]
FOREIGN = json.loads(oms.seal(FILES[:1], MINE))["dsseEnvelope"]
NEAR_MISSES = {
    "signature of another payload": (spoilt(SIGNATURE, sig=FOREIGN["signatures"][0]["sig"]), "no key"),
    "payload of another signature": (spoilt(ENVELOPE, payload=FOREIGN["payload"]), "no key"),
    "signature of nothing": (spoilt(SIGNATURE, sig=""), "no key"),
    "keyid of another key": (spoilt(SIGNATURE, keyid=OTHER.public.key_id.hex), "no key"),
    "keyid of no key": (spoilt(SIGNATURE, keyid="*"), "no key"),
    "hint at another key": (
        spoilt(["verificationMaterial"], publicKey={"hint": oms.hint_of(OTHER.public)}),
        "names another key",
    ),
}


@pytest.mark.parametrize("case", NEAR_MISSES)
def test_a_bundle_that_is_signed_otherwise_is_refused(case):
    bundle, why = NEAR_MISSES[case]

    with pytest.raises(VerificationError, match=why):
        open_component(bundle, [MINE.public, OTHER.public], at=NOW)


def test_a_signature_without_keyid_is_opened():
    assert open_component(spoilt(SIGNATURE, keyid=""), [MINE.public], at=NOW).signed_by == MINE.public


@pytest.mark.parametrize("root", [ROOT.der, ROOT.pem, MIDDLE.pem + ROOT.pem], ids=["der", "pem", "several"])
def test_a_bundle_that_a_trusted_authority_vouches_for_is_opened(root):
    component = open_component(chained(SIGNER, MIDDLE), [], roots=[root], at=NOW)

    assert component.signed_by == SIGNER.signer.public
    assert component.certificate == Digest.of(SIGNER.der)
    assert component.chain in (Digest.of(b"".join([*CHAIN, ROOT.der])), Digest.of(b"".join(CHAIN)))


def test_certificates_beside_the_path_do_not_change_the_chain():
    alone, with_more = chained(SIGNER, MIDDLE), chained(SIGNER, authority("unrelated"), MIDDLE, ROOT)

    chains = {open_component(bundle, [], roots=[ROOT.der], at=NOW).chain for bundle in (alone, with_more)}

    assert chains == {Digest.of(b"".join([*CHAIN, ROOT.der]))}


def test_a_trusted_key_does_not_stand_in_for_a_chain():
    with pytest.raises(VerificationError, match="no certificate authority is trusted"):
        open_component(chained(SIGNER, MIDDLE), [SIGNER.signer.public], at=NOW)


IMPOSTOR = authority("root", curve=ec.SECP384R1())
DEEP = authority("deep", MIDDLE)
MUTE = authority("mute", ROOT, signs=False)
WEB = authority("web", ROOT, purposes=[ExtendedKeyUsageOID.SERVER_AUTH])
OLD = authority("old", ROOT, days=(-9, -1))
BAD_CHAINS = {
    "of another authority": (chained(leaf(authority("other"))), "vouches"),
    "of a namesake": (chained(leaf(IMPOSTOR)), "vouches"),
    "without the middle": (chained(SIGNER), "vouches"),
    "self-made": (chained(leaf(authority("self")), authority("self")), "vouches"),
    "an authority's own": (chained(MIDDLE), "not a signer's"),
    "by a leaf": (chained(leaf(SIGNER, "below"), SIGNER, MIDDLE), "vouches"),
    "path too long": (chained(leaf(DEEP, "below"), DEEP, MIDDLE), "path length"),
    "not for signatures": (chained(leaf(ROOT, signs=False)), "digitalSignature"),
    "for servers only": (chained(leaf(ROOT, purposes=[ExtendedKeyUsageOID.SERVER_AUTH])), "codeSigning"),
    "authority for servers only": (chained(leaf(WEB), WEB), "codeSigning"),
    "authority that may not issue": (chained(leaf(MUTE), MUTE), "vouches"),
    "expired": (
        chained(leaf(ROOT, days=(-30, -1))),
        r"valid from 2026-10-22T12:00:00.000000Z to 2026-11-20T12:00:00.000000Z, not at 2026-11-21T12:00:00.000000Z",
    ),
    "not yet valid": (chained(leaf(ROOT, days=(1, 30))), "valid from 2026-11-22"),
    "authority expired": (chained(leaf(OLD), OLD), "'CN=old'.* to 2026-11-20"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_CHAINS)
def test_a_bundle_with_a_chain_that_does_not_hold_is_refused(case):
    bundle, why = BAD_CHAINS[case]

    with pytest.raises(VerificationError, match=why):
        open_component(bundle, [], roots=[ROOT.der], at=NOW)


def test_an_expired_root_vouches_for_nobody():
    old = authority("old root", days=(-30, -1))

    with pytest.raises(VerificationError, match="vouches"):
        open_component(chained(leaf(old)), [], roots=[old.der], at=NOW)


def test_the_same_bundle_is_refused_once_its_certificate_has_expired():
    bundle = chained(leaf(ROOT, days=(-1, 5)))

    open_component(bundle, [], roots=[ROOT.der], at=NOW + 5 * DAY)
    with pytest.raises(VerificationError, match="not at 2026-11-27"):
        open_component(bundle, [], roots=[ROOT.der], at=NOW + 6 * DAY)


@pytest.mark.parametrize("kind", ["key", "certificate"])
def test_a_bundle_of_the_stock_program_is_opened(kind):
    bundle = (VECTORS / f"stock-{kind}.bundle.json").read_bytes()

    component = open_component(bundle, [leaf(ROOT).signer.public], roots=[ROOT.der], at=NOW)

    contents = {file.name: file.sha256 for file in component.files}
    assert contents == {"config.json": Digest.of(b"{}"), "model.gguf": Digest.of(b"weights")}
    assert (component.certificate is not None) == (kind == "certificate")


def test_a_signature_over_nothing_that_the_stock_program_accepts_is_refused():
    with pytest.raises(VerificationError, match="resources is not a list of at least one"):
        open_component((VECTORS / "bad-skeleton.bundle.json").read_bytes(), [leaf(ROOT).signer.public], at=NOW)


def test_a_leaf_without_purposes_may_sign():
    signed = leaf(ROOT, purposes=())

    assert open_component(chained(signed), [], roots=[ROOT.der], at=NOW).certificate == Digest.of(signed.der)


def test_a_leaf_that_claims_to_be_an_authority_is_refused():
    signed = leaf(ROOT)
    usage = signed.certificate.extensions.get_extension_for_class(x509.KeyUsage)
    builder = x509.CertificateBuilder(
        ROOT.certificate.subject, signed.certificate.subject, ec_key(7).public_key(), 7, NOW - DAY, NOW + DAY
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    own = builder.add_extension(usage.value, critical=True).sign(ROOT.key, signed.certificate.signature_hash_algorithm)
    signed = type(signed)(own, ec_key(7))

    with pytest.raises(VerificationError, match="not a signer's"):
        open_component(chained(signed), [], roots=[ROOT.der], at=NOW)


def test_a_signature_of_another_key_than_the_certificate_s_is_refused():
    document = json.loads(chained(SIGNER, MIDDLE))
    document["dsseEnvelope"] = json.loads(oms.seal(FILES, MINE))["dsseEnvelope"]

    with pytest.raises(VerificationError, match="no key that is trusted"):
        open_component(json.dumps(document).encode(), [MINE.public], roots=[ROOT.der], at=NOW)


@pytest.mark.parametrize("rubbish", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\n", SIGNER.der[:-1]])
def test_rubbish_for_a_certificate_is_refused(rubbish):
    with pytest.raises(VerificationError, match=r"not (a certificate|certificates)"):
        read_certificates(rubbish)
    with pytest.raises(VerificationError, match=r"not (a certificate|certificates)"):
        open_component(chained(SIGNER, MIDDLE), [], roots=[rubbish], at=NOW)


def test_a_certificate_for_a_key_of_an_unknown_curve_is_refused():
    p256, unknown = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030177")

    with pytest.raises(VerificationError, match="key cannot be read"):
        key_of(SIGNER.der.replace(p256, unknown))


def test_certificates_are_read_one_by_one():
    assert read_certificates(SIGNER.pem + MIDDLE.pem) == (SIGNER.der, MIDDLE.der)
    assert read_certificates(ROOT.der) == (ROOT.der,)
