"""Does the metadata say what the documents say, and nothing else, whoever writes it and whenever?"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.metadata import (
    LIFE,
    check_carried,
    check_pinned,
    check_place,
    period_of,
    root_of,
    slow_files,
    targets_of,
    timestamp_version,
    write_snapshot,
    write_timestamp,
)
from lockgate.core.revocation import Revocations
from lockgate.core.trust import Purpose, Root, Trust
from lockgate.errors import VerificationError
from lockgate.formats import tuf
from lockgate.formats.names import Name
from tests.core.test_revocation import denied, of_key
from tests.world import NOW, carried, key, policy, trust

ONLINE = key("prod-updates")
NOTHING = Revocations(Name("prod"), ())
NEW = Root(2, tuple(key(f"new{number}").public for number in (1, 2, 3)))


def signers_without_updates(**changes):
    kept = tuple(one for one in trust().signers if one.purpose is not Purpose.UPDATES)
    found = next(one for one in trust().signers if one.purpose is Purpose.UPDATES)
    return (*kept, replace(found, **changes)) if changes else kept


def test_offline_roles_have_the_keys_and_threshold_of_the_trust_document():
    roles = root_of(trust())["roles"]

    assert roles["root"] == roles["targets"] == tuf.write_role(trust().root.keys, 2)
    assert roles["snapshot"] == roles["timestamp"] == tuf.write_role([ONLINE.public], 1)
    check_pinned(tuf.parse(carried(trust(), policy()).root), trust().root)


@pytest.mark.parametrize("signers", [signers_without_updates(), signers_without_updates(until=NOW)])
def test_a_trust_without_a_lasting_key_for_updates_carries_nothing(signers):
    with pytest.raises(VerificationError, match="names no key for updates"):
        root_of(replace(trust(), signers=signers))


def test_what_expires_first_ends_the_metadata():
    early, late = NOW + timedelta(days=1), NOW + timedelta(days=2)

    def ends(first, second):
        return tuf.expiry(targets_of(replace(trust(), expires=first), replace(policy(), expires=second)))

    assert ends(early, late) == ends(late, early) == early.replace(microsecond=0)


@given(st.lists(st.sampled_from(["trust", "policy", "both", "revoke"]), max_size=12))
def test_whatever_happens_every_version_grows_and_none_is_used_twice(acts):
    trusted, ruled, revoked = trust(), policy(), NOTHING
    seen = []
    for act in ["", *acts]:
        if act in ("trust", "both"):
            trusted = replace(trusted, version=trusted.version + 1)
        if act in ("policy", "both"):
            ruled = replace(ruled, version=ruled.version + 1)
        if act == "revoke":
            revoked = denied(*revoked.entries, of_key(f"k{len(revoked.entries)}", len(revoked.entries)))
        snapshot = write_snapshot(trusted, ruled, b"targets", revoked, ONLINE)
        seen.append(
            (snapshot.version, {place: content for place, content in snapshot.files.items() if "/" not in place})
        )
    versions = [version for version, _ in seen]
    assert versions == sorted(set(versions))
    named: dict[str, bytes] = {}
    for _, files in seen:
        for place, content in files.items():
            assert named.setdefault(place, content) == content, "one name, two contents"


def test_newer_content_is_newer_whatever_the_clock_says():
    later, earlier = datetime(2106, 1, 1, tzinfo=UTC), datetime(1971, 1, 1, tzinfo=UTC)

    assert timestamp_version(4, later) < timestamp_version(5, earlier)
    assert timestamp_version(4, earlier) < timestamp_version(4, later)
    assert timestamp_version(2**21 - 1, later) < 2**53


@pytest.mark.parametrize("seconds", [0, 1, 299.9])
def test_in_one_half_life_everybody_signs_the_same_timestamp(seconds):
    begun = datetime(2026, 11, 21, 12, tzinfo=UTC)
    snapshot = write_snapshot(trust(), policy(), b"targets", NOTHING, ONLINE)

    written = write_timestamp(snapshot, period_of(begun + timedelta(seconds=seconds), LIFE), LIFE, ONLINE)

    assert written == write_timestamp(snapshot, begun, LIFE, ONLINE)
    assert tuf.expiry(tuf.parse(written).signed) == begun + LIFE
    assert period_of(begun + timedelta(seconds=300), LIFE) == begun + timedelta(seconds=300)


def test_what_was_signed_offline_is_laid_out_under_the_digest_of_what_it_says():
    held = carried(trust(), policy())

    files = slow_files(held, {1: held.root})

    assert sorted(place.split("/")[0] for place in files) == [
        "1.root.json", "2.targets.json", "signed", "signed", "targets", "targets",
    ]  # fmt: skip
    for place in files:
        check_place(place)


@pytest.mark.parametrize(
    "place",
    [
        "", "root.json", "0.root.json", "01.root.json", "1.timestamp.json", "../1.root.json", "targets/x.trust.json",
        "targets/" + "0" * 64 + ".other.json", "1.root.json/", "/1.root.json", "1.root.json\n",
        "targets/../timestamp.json",
        "signed/" + "A" * 64 + ".trust.json", "99999999999999999.root.json",
    ],
)  # fmt: skip
def test_any_other_place_is_none(place):
    with pytest.raises(VerificationError, match="not the place"):
        check_place(place)


def good(trusted: Trust, *signers: str):
    return carried(trusted, policy(), *signers)


def test_metadata_that_follows_and_is_signed_is_taken():
    check_carried(good(trust()), trust(), policy(), trust().root)


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (NEW, "signed by 0 root keys, 2 needed"),
        (Root(3, trust().root.keys), "signed by 2 root keys, 3 needed"),
    ],
)
def test_the_root_before_must_have_signed_too(held, reason):
    with pytest.raises(VerificationError, match=reason):
        check_carried(good(trust()), trust(), policy(), held)


@pytest.mark.parametrize(
    ("trusted", "ruled"),
    [
        (replace(trust(), version=2), policy()),
        (replace(trust(), root=Root(1, trust().root.keys)), policy()),
        (trust(), replace(policy(), version=2)),
        (trust(), None),
        (replace(trust(), actors=()), policy()),
    ],
)
def test_metadata_of_other_documents_is_refused(trusted, ruled):
    with pytest.raises(VerificationError, match="not what follows from"):
        check_carried(good(trust()), trusted, ruled, trust().root)


def pinned_root(**changes):
    return {**root_of(trust()), **changes}


def roles(**changes):
    return {**dict(root_of(trust())["roles"]), **changes}


ONE = tuf.write_role(trust().root.keys, 1)


@pytest.mark.parametrize(
    ("signed", "signers", "reason"),
    [
        (pinned_root(), ("root1",), "signed by 1 root keys"),
        (pinned_root(), ("root1", "mallory"), "signed by 1 root keys"),
        (pinned_root(_type="targets"), ("root1", "root2"), "no root metadata"),
        (pinned_root(roles=[]), ("root1", "root2"), "no root metadata"),
        (pinned_root(keys=None), ("root1", "root2"), "no root metadata"),
        (pinned_root(roles=roles(root=ONE)), ("root1", "root2"), "another root"),
        (pinned_root(roles=roles(targets=ONE)), ("root1", "root2"), "another root"),
        (pinned_root(roles={}), ("root1", "root2"), "another root"),
        (
            pinned_root(keys={one.key_id.hex: tuf.write_key(key("mallory").public) for one in trust().root.keys}),
            ("root1", "root2"),
            "another key under the id",
        ),
    ],
)
def test_only_the_pinned_root_is_a_beginning(signed, signers, reason):
    with pytest.raises(VerificationError, match=reason):
        check_pinned(tuf.sign(signed, [key(name) for name in signers]), trust().root)
