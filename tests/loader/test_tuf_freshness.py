"""Can a host be taken back in time, or kept in it? Rollback, freeze, fast-forward (TUF §5.4, §5.5).

Cases are named after those of tuf-conformance; the repository holds the online keys.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lockgate.core.metadata import TIMESTAMP, root_of
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import tuf
from tests.core.test_revocation import denied, of_key
from tests.loader.hostile import OFFLINE, ONLINE
from tests.world import key, policy, trust

NO_METADATA = [b"", b"\xff\xfe", b"no JSON", b"[]", b"{}", b"null", b'{"signed": 1, "signatures": []}']
PAST = "2020-01-01T00:00:00Z"
LATER = replace(trust(), version=2), replace(policy(), version=2)


# --- rollback ---


def test_root_rollback_and_skipped_versions(feed, learn, refused):
    feed.publish(*LATER)
    learn()
    for version in (1, 2, 4):
        feed.say("3.root.json", {**root_of(LATER[0]), "version": version}, OFFLINE)
        refused(VerificationError, "Expected root version 3")


def test_timestamp_rollback(feed, learn, refused):
    old = feed.files[TIMESTAMP]
    feed.publish(revoked=denied(of_key("bob")))
    learn()
    feed.files[TIMESTAMP] = old

    refused(VerificationError, "timestamp version")


def test_snapshot_rollback_in_a_newer_timestamp(feed, learn, refused):
    old = feed.newest("snapshot")
    feed.publish(revoked=denied(of_key("bob")))
    learn()
    version = tuf.version(feed.said(TIMESTAMP)) + 1
    feed.change(TIMESTAMP, ONLINE, version=version, meta={"snapshot.json": feed._meta(old)})

    refused(VerificationError, "snapshot version")


@pytest.mark.parametrize("role", ["targets", "revocations"])
def test_targets_and_delegated_rollback_in_a_newer_snapshot(feed, learn, refused, role):
    old = feed.newest(role)
    feed.publish(*LATER, denied(of_key("bob")))
    learn()
    feed.bind(**{role: old})

    refused(VerificationError, f"Expected {role}.json version")


@pytest.mark.parametrize("role", ["targets", "revocations"])
def test_a_role_that_is_missing_from_a_newer_snapshot(feed, learn, refused, role):
    learn()
    feed.bind(snapshot={"meta": {f"{other}.json": feed._meta(feed.newest(other))
                                 for other in ("targets", "revocations") if other != role}})  # fmt: skip

    refused(VerificationError, f"missing info for '{role}.json'")


def test_a_rollback_is_remembered_when_the_learning_breaks_off(feed, learn, refused):
    learn()
    old = feed.files[TIMESTAMP]
    feed.publish(revoked=denied(of_key("bob")))
    snapshot = feed.files.pop(feed.newest("snapshot"))
    refused(UnavailableError, "cannot be learnt")
    feed.files["5.snapshot.json"] = snapshot
    feed.files[TIMESTAMP] = old

    refused(VerificationError, "timestamp version")


def test_equal_versions_are_no_rollback_and_change_nothing(feed, learn):
    first = learn()
    feed.change(TIMESTAMP, ONLINE, expires=PAST)

    assert learn() == first


# --- freeze ---


def test_an_expired_timestamp(feed, learn, refused):
    feed.publish(at=datetime.now(UTC) - timedelta(minutes=20))

    refused(UnavailableError, r"timestamp.json is expired\).* is the clock right")


@pytest.mark.parametrize("role", ["snapshot", "targets", "revocations", "root"])
def test_any_other_expired_metadata(feed, learn, refused, role):
    if role == "root":
        feed.say("2.root.json", {**root_of(LATER[0]), "expires": PAST}, OFFLINE)
    elif role == "snapshot":
        feed.bind(snapshot={"expires": PAST})
    else:
        feed.move(role, OFFLINE if role == "targets" else ONLINE, expires=PAST)
        feed.bind()

    refused(UnavailableError, "expired")


def test_a_timestamp_that_expires_while_nobody_answers_is_the_end(feed, learn):
    found = learn()

    with pytest.raises(UnavailableError, match="was fresh until"):
        found.check_fresh(found.fresh_until)


def test_an_expired_root_may_be_passed_on_the_way_to_a_later_one(feed, learn):
    feed.publish(replace(trust(), version=2, expires=datetime.now(UTC) - timedelta(days=1)), policy())
    feed.publish(replace(trust(), version=3), policy())

    assert learn().trust.document.version == 3


# --- fast-forward, and recovery from it by new online keys ---


def test_recovery_from_fast_forward(feed, learn, refused):
    learn()
    feed.change(TIMESTAMP, ONLINE, version=2**53 - 2)
    learn()
    feed.publish(revoked=denied(of_key("bob")))
    refused(VerificationError, "timestamp version")
    signers = tuple(
        replace(one, key=key("fresh").public) if one.purpose == "updates" else one for one in trust().signers
    )
    feed.online = key("fresh")

    feed.publish(replace(trust(), version=2, signers=signers), policy())

    assert learn().trust.document.version == 2
