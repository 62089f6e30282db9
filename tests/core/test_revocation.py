"""What does the deny-list say, and what does it never take back?"""

from dataclasses import replace

import pytest

from lockgate.core.lease import Refused, answer
from lockgate.core.revocation import (
    MAX_REASON,
    Revocation,
    Revocations,
    check_grown,
    check_reason,
    list_revocations,
    parse_revocations,
)
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag
from tests.core.dossiers import good, judged, release
from tests.core.passports import admitted, forge
from tests.core.test_lease import GIVEN, REQUESTED, RULES, SERVING, A
from tests.world import NOW, PROD, key, trust

HERE = Name("prod")


def of_release(digest, index=3, **changes):
    found = Revocation("release", digest, Tag.parse("magika@1.0.0"), (), "it leaks", Name("olivia"), A, NOW, index)
    return replace(found, **changes)


def of_key(name, index=5, **changes):
    revoked = key(name).public.key_id
    return replace(Revocation("key", revoked, None, (), "lost", Name("olivia"), A, NOW, index), **changes)


def denied(*entries):
    return list_revocations(HERE, entries)


LISTED = denied(of_release(A, 3), of_key("bob", 5), of_release(Digest.of(b"other"), 9))


def test_a_list_reads_back_as_it_was_written():
    assert parse_revocations(plain.encode(LISTED), HERE) == LISTED
    assert parse_revocations(plain.encode(denied()), HERE) == denied()


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (replace(LISTED, environment=Name("dev")), "is of dev, not of prod"),
        (replace(LISTED, entries=LISTED.entries[::-1]), "not in the order of the log"),
        (replace(LISTED, entries=(*LISTED.entries, LISTED.entries[-1])), "not in the order of the log"),
        (Revocations(HERE, (of_key("bob", -1),)), "not in the order of the log"),
        (Revocations(HERE, (of_key("bob", 1), of_key("bob", 2))), "revokes something twice"),
        (Revocations(HERE, (of_release(A, tag=None),)), "without its tag"),
        (Revocations(HERE, (of_key("bob", tag=Tag.parse("magika@1.0.0")),)), "or a key with one"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(spoilt, reason):
    with pytest.raises(VerificationError, match=reason):
        parse_revocations(plain.encode(spoilt), HERE)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"\xff", plain.encode(LISTED) + b" ", b'{"type":"revocations/v2"}']
)
def test_what_is_no_list_is_refused(data):
    with pytest.raises(VerificationError):
        parse_revocations(data, HERE)


def test_a_list_may_grow_at_its_end():
    for size in range(len(LISTED.entries) + 1):
        check_grown(replace(LISTED, entries=LISTED.entries[:size]), LISTED)


@pytest.mark.parametrize(
    "entries",
    [
        (),
        LISTED.entries[:2],
        LISTED.entries[1:],
        (LISTED.entries[0], LISTED.entries[2]),
        (LISTED.entries[0], replace(LISTED.entries[1], reason="found again"), LISTED.entries[2]),
        (of_key("carol", 1), *LISTED.entries),
    ],
)
def test_an_entry_that_disappears_or_changes_is_noticed(entries):
    with pytest.raises(VerificationError, match="lost or changed an entry that was seen"):
        check_grown(LISTED, replace(LISTED, entries=entries))


@pytest.mark.parametrize("reason", ["", "  \n", "x" * (MAX_REASON + 1)])
def test_a_revocation_says_why(reason):
    check_reason("it leaks")
    with pytest.raises(VerificationError, match="has a reason"):
        check_reason(reason)


def test_without_a_key_an_actor_and_a_signer_are_left_with_nothing():
    whole = trust()
    left = whole.without([key(name).public.key_id for name in ("bob", "components", "prod-lease")])

    assert left.actor(Name("bob"), NOW).keys == ()
    assert left.actor(Name("carol"), NOW) == whole.actor(Name("carol"), NOW)
    gone = {str(signer.name) for signer in whole.signers} - {str(signer.name) for signer in left.signers}
    assert gone == {"ci-components", "server-lease"}
    assert left.root == whole.root and whole.without([]) is whole


def test_a_revoked_release_is_not_judged_and_not_admitted():
    listed = denied(of_release(release().digest))

    for attempt in (lambda: judged(revoked=listed), lambda: admitted(forge(), revoked=listed)):
        with pytest.raises(DeniedError, match=r"release magika@1.0.0 is revoked since .*it leaks"):
            attempt()
    assert judged(revoked=denied(of_release(A))) == judged()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("components", "no key that is trusted"),
        ("results", "no result by a trusted signer"),
        ("bob", "1 of 2 approvals"),
        ("alice", "no key that is trusted"),
    ],
)
def test_what_a_revoked_key_ever_signed_counts_for_nothing(name, reason):
    with pytest.raises(DeniedError, match=reason):
        judged(revoked=denied(of_key(name)))


@pytest.mark.parametrize("name", ["prod-vsa", "prod-checkpoint"])
def test_a_passport_by_a_revoked_key_of_the_server_is_worth_nothing(name):
    assert admitted(forge())
    with pytest.raises(VerificationError):
        admitted(forge(), revoked=denied(of_key(name)))


def test_a_revoked_release_is_granted_to_nobody():
    assert answer(REQUESTED, {PROD: SERVING}, RULES, denied(of_release(Digest.of(b"other")))) == GIVEN
    given = answer(REQUESTED, {PROD: SERVING}, RULES, denied(of_release(A)))

    assert given.granted == ()
    (refused,) = given.refused
    assert refused == Refused(PROD, A, str(of_release(A)))


def test_a_directory_of_a_revoked_release_is_known():
    listed = denied(of_release(A, components=(Digest.of(b"part"),)))

    listed.check_component(Digest.of(b"another"))
    with pytest.raises(DeniedError, match=r"is part of it, and release magika@1.0.0 is revoked"):
        listed.check_component(Digest.of(b"part"))


def test_a_dossier_without_revocations_is_the_good_one():
    assert judged(good()) == judged()
