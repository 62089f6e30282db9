"""Does a host take a file for another one? Mixed, swapped, missing and endless files (TUF §5.5 – §5.7).

Cases are named after those of tuf-conformance.
"""

from dataclasses import replace

import pytest

from lockgate.core.metadata import DENY_FILE, TIMESTAMP, TRUST_FILE
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import plain, tuf
from tests.loader.hostile import OFFLINE, ONLINE
from tests.world import policy, trust

NO_METADATA = [b"", b"\xff\xfe", b"no JSON", b"[]", b"{}", b"null", b'{"signed": 1, "signatures": []}']
PAST = "2020-01-01T00:00:00Z"
LATER = replace(trust(), version=2), replace(policy(), version=2)


# --- mix and match ---


@pytest.mark.parametrize("role", ["snapshot", "targets", "revocations"])
def test_another_file_of_the_same_version(feed, refused, role):
    place, signers = feed.newest(role), OFFLINE if role == "targets" else ONLINE
    feed.change(place, signers, spec_version="1.0.30")

    refused(VerificationError, "not what it claims|differs|does not match")


@pytest.mark.parametrize("role", ["snapshot", "targets", "revocations"])
def test_another_version_under_the_name(feed, refused, role):
    place, signers = feed.newest(role), OFFLINE if role == "targets" else ONLINE
    feed.change(place, signers, version=99)

    refused(VerificationError, "not what it claims|longer than it may be")


@pytest.mark.parametrize("members", [{"length": 1}, {"hashes": {"sha256": "0" * 64}}])
def test_wrong_length_or_hash_of_a_snapshot(feed, refused, members):
    about = {**feed._meta(feed.newest("snapshot")), **members}
    feed.change(TIMESTAMP, ONLINE, meta={"snapshot.json": about})

    refused(VerificationError, "not what it claims|longer than it may be")


@pytest.mark.parametrize("name", [TRUST_FILE, "policy.json", DENY_FILE])
def test_another_target_under_the_name(feed, refused, name):
    for place in [place for place in feed.files if place.startswith(("signed/", "targets/")) and place.endswith(name)]:
        feed.files[place] = b"{}"

    refused(VerificationError, "not")


def test_documents_of_another_time_under_the_names_in_force(feed, learn, refused):
    old = {place: content for place, content in feed.files.items() if place.startswith("signed/")}
    feed.publish(*LATER)
    for name in (TRUST_FILE, "policy.json"):
        (now,) = [
            place for place in feed.files if place.startswith("signed/") and place.endswith(name) and place not in old
        ]
        (before,) = [place for place in old if place.endswith(name)]
        good, feed.files[now] = feed.files[now], feed.files[before]
        refused(VerificationError, f"the signed {name} is not the one that is listed")
        feed.files[now] = good


# --- files that are missing, or too long ---


@pytest.mark.parametrize("role", ["snapshot", "targets", "revocations"])
def test_a_missing_file(feed, refused, role):
    del feed.files[feed.newest(role)]

    refused(UnavailableError, "cannot be learnt")


@pytest.mark.parametrize("name", ["signed/trust.json", "signed/policy.json", "targets/deny.json"])
def test_a_missing_target(feed, refused, name):
    folder, _, file = name.partition("/")
    feed.files = {
        place: c for place, c in feed.files.items() if not (place.startswith(folder) and place.endswith(file))
    }

    refused(UnavailableError, "is not there, though it is listed")


@pytest.mark.parametrize(("role", "limit"), [("timestamp", 16_384), ("root", tuf.MAX_METADATA)])
def test_endless_metadata(feed, learn, refused, role, limit):
    learn()
    place = TIMESTAMP if role == "timestamp" else "2.root.json"
    feed.files[place] = b" " * (limit + 1)

    refused(VerificationError, "longer than it may be")


def test_a_deny_list_that_is_longer_than_it_may_be(feed, refused):
    about = {"length": (8 << 20) + 1, "hashes": {"sha256": "0" * 64}}
    feed.move("revocations", ONLINE, targets={DENY_FILE: about})
    feed.bind()

    refused(VerificationError, "the deny-list has .* bytes")


def test_a_target_pinned_by_another_hash_than_sha256(feed, refused):
    deny = plain.encode(feed.revoked)
    about = {"length": len(deny), "hashes": {"sha512": "0" * 128}}
    feed.move("revocations", ONLINE, targets={DENY_FILE: about})
    feed.bind()

    refused(VerificationError, "is not pinned by its SHA-256")
