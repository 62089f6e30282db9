"""What is a release? A manifest in its one spelling, signed; each component by the bundle that it lists."""

from dataclasses import replace

import pytest

from lockgate.core.release import (
    MANIFEST,
    Contract,
    Kind,
    Manifest,
    Serve,
    Trusted,
    check_manifest,
    open_components,
    open_manifest,
)
from lockgate.errors import VerificationError
from lockgate.formats import dsse, oms, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag
from tests.core.dossiers import release, submission
from tests.world import NOW, file_digest, key, sign_manifest

SIGNED, BUNDLES, MEANT = submission()
KEY = key("components").public
TRUSTED = {kind: Trusted((KEY,), ()) for kind in Kind}


def test_a_manifest_is_identified_by_its_canonical_bytes_not_by_its_signatures():
    again = dsse.sign(plain.encode(MEANT), MANIFEST, [key("components"), key("alice")]).encode()

    opened, twice = open_manifest(SIGNED, [KEY]), open_manifest(again, [KEY, key("alice").public])

    assert opened.manifest == MEANT and opened.manifest.tag == Tag.parse("magika@1.0.0")
    assert opened.digest == twice.digest == Digest.of(plain.encode(MEANT))
    assert opened.signed_by == (KEY,) and twice.signed_by == (KEY, key("alice").public)


def signed(payload, kind=MANIFEST):
    return dsse.sign(payload, kind, [key("components")]).encode()


TEXT = plain.encode(MEANT)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (sign_manifest(MEANT, "mallory").encode(), "no key that is trusted"),
        (signed(TEXT, "text/plain"), "DSSE payload is 'text/plain'"),
        (signed(TEXT + b"\n"), "release manifest is not canonical JSON"),
        (signed(TEXT.replace(b'"authors":', b' "authors":')), "release manifest is not canonical JSON"),
        (signed(TEXT.replace(b'"license"', b'"licence"')), "unknown member 'licence'"),
        (signed(TEXT.replace(b"release/v1", b"release/v2")), "wanted type release/v1"),
        (signed(TEXT.replace(b'"1.0.0"', b'"1.0"')), "not a version"),
        (signed(TEXT.replace(b'"kind":"weights"', b'"kind":"pickle"')), "wanted one of"),
        (signed(b"{}"), "wanted type release/v1"),
        (b"", "."),
    ],
)
def test_a_manifest_in_another_spelling_or_by_another_is_refused(document, reason):
    with pytest.raises(VerificationError, match=reason):
        open_manifest(document, [KEY])


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"components": {}}, "release magika@1.0.0 lists no component"),
        ({"components": {"../weights": MEANT.components["weights"]}}, "not a name"),
        ({"components": {"Weights": MEANT.components["weights"]}}, "not a name"),
        ({"serve": Serve((), {})}, "has no serve command"),
        *(
            ({"contract": replace(MEANT.contract, **{field: listed})}, f"contract.{field} is not sorted")
            for field in ("inputs", "outputs", "labels", "tools")
            for listed in (("b", "a"), ("a", "a"))
        ),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(spoilt, reason):
    manifest = replace(MEANT, **spoilt)

    for check in (lambda: check_manifest(manifest), lambda: open_manifest(signed(plain.encode(manifest)), [KEY])):
        with pytest.raises(VerificationError, match=reason):
            check()


def test_a_manifest_without_promises_makes_sense():
    check_manifest(replace(MEANT, contract=Contract((), (), (), ())))


def test_each_component_is_opened_by_who_is_trusted_for_its_kind():
    found = open_components(release(), BUNDLES, TRUSTED, NOW)

    assert {name: component.signed_by for name, component in found.items()} == {"weights": KEY, "config": KEY}
    assert {name: component.dir_hash for name, component in found.items()} == {
        name: part.digest for name, part in MEANT.components.items()
    }


def sealed(content=b"other", signer="components"):
    return oms.seal([file_digest("model.onnx", content)], key(signer))


def listing(sealed_as, **changes):
    """List a bundle as the weights, with what is changed about its line."""
    part = replace(MEANT.components["weights"], digest=oms.parse(sealed_as).dir_hash, bundle=Digest.of(sealed_as))
    meant: Manifest = replace(MEANT, components={"weights": replace(part, **changes)})
    return replace(release(), manifest=meant)


@pytest.mark.parametrize(
    ("changes", "bundles", "trusted", "reason"),
    [
        ({}, {}, TRUSTED, "no bundle, or no component, named 'weights'"),
        ({}, {"weights": sealed(), "extra": sealed()}, TRUSTED, "no bundle, or no component, named 'extra'"),
        ({}, {"model": sealed()}, TRUSTED, "no bundle, or no component, named 'model'"),
        ({}, {"weights": sealed(b"swapped")}, TRUSTED, "weights: the bundle is not the one that the manifest lists"),
        ({"digest": Digest.of(b"")}, {"weights": sealed()}, TRUSTED, "weights: dirHash is .*, the manifest lists"),
        ({"bundle": Digest.of(b"")}, {"weights": sealed()}, TRUSTED, "weights: the bundle is not the one"),
        ({"kind": Kind.ADAPTER}, {"weights": sealed()}, TRUSTED | {Kind.ADAPTER: Trusted((), ())}, "weights: no key"),
        ({}, {"weights": sealed()}, TRUSTED | {Kind.WEIGHTS: Trusted((), ())}, "component weights: no key"),
    ],
)
def test_a_component_that_is_not_the_listed_one_is_refused(changes, bundles, trusted, reason):
    with pytest.raises(VerificationError, match=reason):
        open_components(listing(sealed(), **changes), bundles, trusted, NOW)


@pytest.mark.parametrize("content", [b"x", b""])
def test_a_bundle_without_chunk_digests_cannot_be_served(content):
    whole = file_digest("model.onnx", content)
    bare = oms.seal([oms.FileDigest("model.onnx", whole.sha256)], key("components"))

    open_components(listing(sealed(content)), {"weights": sealed(content)}, TRUSTED, NOW)
    with pytest.raises(VerificationError, match="component weights: its bundle carries no chunk digests"):
        open_components(listing(bare), {"weights": bare}, TRUSTED, NOW)
