"""Is a derivative said to be one, and does an old manifest stay what it was?"""

import json
from dataclasses import replace

import pytest

from lockgate.core.derivation import MOST_PARENTS, Derivation, How, check_derivation, derivation_words
from lockgate.core.release import Manifest, check_manifest, open_manifest
from lockgate.core.revocation import Revocation, Revocations
from lockgate.core.version import Bump, least_bump
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag
from tests.core.dossiers import submission
from tests.world import NOTHING_REVOKED, NOW, key, sign_manifest

PLAIN = submission()[2]
TAG, PARENT, OTHER = PLAIN.tag, Tag.parse("magika@0.9.0"), Tag.parse("magika@0.8.0")
A, B = Digest.of(b"a"), Digest.of(b"b")
DERIVED = replace(PLAIN, derived_from=Derivation(How.QUANTISED, {PARENT: A}))


def test_a_manifest_without_parents_is_written_as_it_always_was():
    written = json.loads(plain.encode(PLAIN))

    assert "derived_from" not in written
    assert plain.decode(Manifest, plain.encode(PLAIN)) == PLAIN
    assert plain.decode(Manifest, plain.encode(DERIVED)) == DERIVED
    assert json.loads(plain.encode(DERIVED))["derived_from"] == {"how": "quantised", "parents": {str(PARENT): str(A)}}


def test_a_manifest_that_says_null_is_not_canonical():
    payload = json.dumps(
        {**json.loads(plain.encode(PLAIN)), "derived_from": None}, sort_keys=True, separators=(",", ":")
    )
    signed = dsse.sign(payload.encode(), "application/vnd.lockgate.release+json", [key("components")]).encode()

    with pytest.raises(VerificationError, match="not canonical"):
        open_manifest(signed, [key("components").public])
    assert open_manifest(sign_manifest(DERIVED).encode(), [key("components").public]).manifest == DERIVED


@pytest.mark.parametrize(
    ("derivation", "reason"),
    [
        (Derivation(How.QUANTISED, {}), "derives from 1 to 16 releases"),
        (Derivation(How.MERGED, {PARENT: A}), "merged from one release alone"),
        (Derivation(How.MERGED, {PARENT: A, OTHER: A}), "each of them another one"),
        (Derivation(How.ADAPTED, {TAG: A}), "derives from itself"),
        (Derivation(How.MERGED, {PARENT: A, TAG: B}), "derives from itself"),
        (
            Derivation(How.MERGED, {Tag.parse(f"m@1.0.{n}"): Digest.of(b"%d" % n) for n in range(MOST_PARENTS + 1)}),
            "derives from 1 to 16",
        ),
    ],
)
def test_a_derivation_without_sense_is_refused(derivation, reason):
    check_derivation(TAG, Derivation(How.MERGED, {PARENT: A, OTHER: B}))
    with pytest.raises(VerificationError, match=reason):
        check_manifest(replace(PLAIN, derived_from=derivation))


@pytest.mark.parametrize("how", ["compressed", "", None, "Quantised"])
def test_a_way_that_nobody_knows_is_refused(how):
    written = json.loads(plain.encode(DERIVED))
    written["derived_from"]["how"] = how

    with pytest.raises(VerificationError, match=r"derived_from\.how"):
        plain.from_plain(Manifest, written)


@pytest.mark.parametrize("changed", [None, Derivation(How.PRUNED, {PARENT: A}), Derivation(How.QUANTISED, {OTHER: A})])
def test_another_derivation_is_a_minor_step(changed):
    bump, why = least_bump(DERIVED, replace(DERIVED, derived_from=changed))

    assert bump is Bump.MINOR
    assert why[0].startswith("derivation changed: it was quantised from magika@0.9.0, and is ")
    assert least_bump(DERIVED, DERIVED)[0] is Bump.PATCH


def test_words_name_each_parent_and_that_it_was_revoked():
    revoked = Revocation("release", A, PARENT, (), "it leaks", Name("olivia"), B, NOW, 7)

    listed, told = Revocations(Name("prod"), (revoked,)), f"quantised from magika@0.9.0 ({A}): "
    assert derivation_words(None, listed.release) == ()
    (said,) = derivation_words(DERIVED.derived_from, NOTHING_REVOKED.release)
    assert said == told + "what that passed counts for nothing here"
    assert derivation_words(DERIVED.derived_from, listed.release) == (said, f"its parent {revoked}")
    assert len(derivation_words(Derivation(How.QUANTISED, {PARENT: B}), listed.release)) == 1
