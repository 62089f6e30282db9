"""Who can tell a host something new? Nobody below the threshold, and nobody in the role of another (TUF §5).

The repository has whatever keys a case gives it. What an attacker cannot sign, nobody is told; what they can sign is
told only within what the role may say. Cases are named after those of tuf-conformance.
"""

import json
from dataclasses import replace

import pytest

from lockgate.core.metadata import DENY_FILE, TIMESTAMP, TRUST_FILE, root_of, target_place, targets_of
from lockgate.core.trust import Root
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import canonical, plain, tuf
from lockgate.formats.digest import Digest
from tests.core.test_revocation import denied, of_key
from tests.loader.hostile import OFFLINE, ONLINE, respelled
from tests.world import key, policy, trust

NO_METADATA = [b"", b"\xff\xfe", b"no JSON", b"[]", b"{}", b"null", b'{"signed": 1, "signatures": []}']
PAST = "2020-01-01T00:00:00Z"
LATER = replace(trust(), version=2), replace(policy(), version=2)


# --- static: what is no metadata, or not that of the role ---


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"no JSON", b"[]", b"{}", b"null", b'{"signed": 1, "signatures": []}']
)
@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "revocations"])
def test_non_json(feed, learn, refused, role, content):
    learn()
    feed.publish(*LATER, denied(of_key("bob")))
    feed.files[TIMESTAMP if role == "timestamp" else feed.newest(role)] = content

    refused(VerificationError, "not what it claims")


@pytest.mark.parametrize("kind", ["root", "snapshot", "targets"])
def test_wrong_type_in_a_timestamp(feed, refused, kind):
    feed.change(TIMESTAMP, ONLINE, _type=kind)

    refused(VerificationError, "not what it claims")


@pytest.mark.parametrize("role", ["snapshot", "targets", "revocations"])
def test_a_role_in_the_place_of_another(feed, refused, role):
    other = {"snapshot": "targets", "targets": "revocations", "revocations": "snapshot"}[role]
    feed.files[feed.newest(role)] = feed.files[feed.newest(other)]

    refused(VerificationError, "not what it claims|longer than it may be")


# --- signatures ---


def test_unsigned_and_wrongly_signed_metadata(feed, learn, refused):
    good = dict(feed.files)
    for place in (TIMESTAMP, *map(feed.newest, ("snapshot", "targets", "revocations"))):
        for spoilt in (lambda at: feed.change(at, ()), lambda at: feed.change(at, ("mallory",)),
                       lambda at: respelled(feed, at, sig="00" * 64)):  # fmt: skip
            feed.files = dict(good)
            spoilt(place)
            refused(VerificationError, "not what it claims")
    feed.files = good
    assert learn().trust.document == trust()


def test_root_has_no_keys_for_snapshot_or_timestamp(feed, learn, refused):
    learn()
    for role in ("snapshot", "timestamp"):
        roles = {**root_of(LATER[0])["roles"], role: {"keyids": [], "threshold": 1}}
        feed.say("2.root.json", {**root_of(LATER[0]), "roles": roles}, OFFLINE)
        refused(VerificationError, "not what it claims")


@pytest.mark.parametrize("threshold", [0, -1])
@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_threshold_zero_and_negative(feed, learn, refused, role, threshold):
    learn()
    roles = dict(root_of(LATER[0])["roles"])
    roles[role] = {**roles[role], "threshold": threshold}
    feed.say("2.root.json", {**root_of(LATER[0]), "roles": roles}, OFFLINE)

    refused(VerificationError, "not what it claims")


@pytest.mark.parametrize("signers", [(), ("root1",), ("root1", "root1"), ("root1", "mallory"), ONLINE])
@pytest.mark.parametrize("role", ["root", "targets"])
def test_offline_roles_below_their_threshold(feed, learn, refused, role, signers):
    learn()
    feed.publish(*LATER)
    feed.change(feed.newest(role), signers)
    if role == "targets":
        feed.bind()

    refused(VerificationError, "not what it claims")


def test_one_key_under_two_ids_counts_once(feed, learn, refused):
    """Two names of one key reach no threshold of two (python-tuf GHSA-r5gq-9p6r-77q5's lesson)."""
    learn()
    one = key("root1")
    alias = "a" * 64
    signed = dict(root_of(LATER[0]))
    signed["keys"] = {**dict(signed["keys"]), alias: tuf.write_key(one.public)}
    ids = sorted([one.public.key_id.hex, alias])
    signed["roles"] = {**dict(signed["roles"]), "root": {"keyids": ids, "threshold": 2}}
    metadata = tuf.sign(signed, [key("root1"), key("root2")])
    twice = tuf.Signature(alias, metadata.signatures[0].signature)
    feed.files["2.root.json"] = replace(metadata, signatures=(*metadata.signatures, twice)).encode()

    refused(VerificationError, "not what")


def test_duplicate_key_ids_in_a_role_and_duplicate_signatures(feed, learn, refused):
    learn()
    roles = dict(root_of(LATER[0])["roles"])
    ids = [*roles["targets"]["keyids"], roles["targets"]["keyids"][0]]
    for role in ("root", "targets"):
        feed.say(
            "2.root.json", {**root_of(LATER[0]), "roles": {**roles, role: {"keyids": ids, "threshold": 2}}}, OFFLINE
        )
        refused(VerificationError, "not what it claims")
    del feed.files["2.root.json"]
    document = json.loads(feed.files[feed.newest("targets")])
    document["signatures"] = [document["signatures"][0]] * 2
    feed.files[feed.newest("targets")] = canonical.encode(document)
    feed.bind()
    refused(VerificationError, "not what it claims")


def test_unknown_keys_in_metadata_do_no_harm_and_help_nobody(feed, learn):
    """A signature by a key that nobody names is ignored beside those that count."""
    document = json.loads(feed.files[TIMESTAMP])
    document["signatures"].append({"keyid": "f" * 64, "sig": "00" * 64})
    feed.files[TIMESTAMP] = canonical.encode(document)

    assert learn().trust.document == trust()


# --- what the holder of the online key can and cannot say ---


def test_the_online_key_signs_no_targets(feed, learn, refused):
    learn()
    wanted = targets_of(trust(), replace(policy(), version=2))
    feed.say("3.targets.json", wanted, ONLINE)
    feed.bind()

    refused(VerificationError, "not what it claims")


def test_the_online_key_signs_no_root(feed, learn, refused):
    learn()
    feed.say("2.root.json", root_of(LATER[0]), ONLINE)

    refused(VerificationError, "not what it claims")


def test_the_delegated_role_speaks_of_the_deny_list_only(feed, learn, refused):
    """Trust and policy in the delegated role are not found: the path is not delegated (TUF §5.6.7.2)."""
    forged = replace(trust(), version=2, actors=())
    listed = {**feed.said(feed.newest("revocations"))["targets"], TRUST_FILE: tuf.write_file(plain.encode(forged))}
    feed.move("revocations", ONLINE, targets=listed)
    feed.files[target_place(TRUST_FILE, Digest.of(plain.encode(forged)))] = plain.encode(forged)
    feed.bind()

    assert learn().trust.document == trust()


def test_the_delegation_ends_the_search(feed, refused):
    """A deny-list that the delegated role does not have is not sought elsewhere (terminating)."""
    feed.move("revocations", ONLINE, targets={})
    feed.bind()

    refused(UnavailableError, r"no deny.json is published yet")


def test_targets_that_say_more_than_the_documents_are_refused_though_root_keys_signed_them(feed, refused):
    """TUF confers no trust: a threshold of root keys cannot smuggle in what no document says."""
    wanted = dict(targets_of(trust(), policy()))
    denied_file = dict(feed.said(feed.newest("revocations"))["targets"])[DENY_FILE]
    feed.move("targets", OFFLINE, **{**wanted, "version": 3, "targets": {**wanted["targets"], DENY_FILE: denied_file}})
    feed.bind()

    refused(VerificationError, "the targets metadata is not what follows from the trust and policy documents")


def test_a_root_that_gives_a_role_to_others_than_the_document_is_refused(feed, refused):
    signed = dict(root_of(LATER[0]))
    stranger = key("mallory").public
    signed["keys"] = {**dict(signed["keys"]), stranger.key_id.hex: tuf.write_key(stranger)}
    signed["roles"] = {**dict(signed["roles"]), "timestamp": tuf.write_role([stranger], 1)}
    feed.publish(*LATER)
    feed.say("2.root.json", signed, OFFLINE)
    feed.change(TIMESTAMP, ("mallory",))

    refused(VerificationError, "the root metadata is not what follows from the trust and policy documents")


def test_root_and_trust_that_do_not_agree_on_the_root_are_refused(feed, refused):
    wide = Root(1, trust().root.keys)
    signed = dict(root_of(replace(LATER[0], root=wide)))
    feed.publish(*LATER)
    feed.say("2.root.json", signed, OFFLINE)

    refused(VerificationError, "the root metadata is not what follows")


# --- key rotation ---


def test_each_online_role_follows_a_new_key(feed, learn, refused):
    learn()
    signers = tuple(
        replace(one, key=key("fresh").public) if one.purpose == "updates" else one for one in trust().signers
    )
    feed.publish(replace(trust(), version=2, signers=signers), policy())
    refused(VerificationError, "not what it claims")
    feed.online = key("fresh")
    feed.publish()

    assert learn().trust.document.version == 2
    feed.online = key("prod-updates")
    feed.publish(revoked=denied(of_key("bob")))
    refused(VerificationError, "not what it claims")
