"""What do hosts get from the server, and what do they learn when somebody revokes something?"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lockgate.core.metadata import LIFE, TIMESTAMP
from lockgate.core.revocation import parse_revocations
from lockgate.errors import UnavailableError
from lockgate.formats import tuf
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.server.served import Served
from tests.world import key

TAG, WHY = "magika@1.0.0", "it leaks"
RELEASE = "releases/magika/1.0.0"


def revoked(served, who="olivia", reason=WHY):
    release = served.world.record(TAG).release
    said = served.world.say(who, "release.revoke", TAG, before=release, after=Digest.of(reason.encode()))
    return served.post(who, f"{RELEASE}/revocation", said, reason=reason)


def fetched(served, place):
    return served.client.get(f"/tuf/{place}")


def deny_list(served):
    timestamp = tuf.parse(fetched(served, TIMESTAMP).content).signed
    version = timestamp["meta"]["snapshot.json"]["version"]
    snapshot = tuf.parse(fetched(served, f"{version}.snapshot.json").content).signed
    number = snapshot["meta"]["revocations.json"]["version"]
    targets = tuf.parse(fetched(served, f"{number}.revocations.json").content).signed["targets"]
    digest = targets["deny.json"]["hashes"]["sha256"]
    return parse_revocations(fetched(served, f"targets/{digest}.deny.json").content, Name("prod"))


def test_a_revocation_is_recorded_and_published_before_it_is_answered(served):
    served.world.register()

    answer = revoked(served).json()

    assert answer["object"]["reason"] == WHY and answer["published"] == "2026-11-21T12:00:00.000000Z"
    (entry,) = deny_list(served).entries
    assert (str(entry.tag), entry.index, entry.reason) == (TAG, answer["first"], WHY)


def test_a_key_is_revoked_and_its_session_ends(served):
    bob = key("bob").public.key_id
    assert served.get("bob", "trust").status_code == 200
    said = served.world.say("olivia", "key.revoke", bob, before=bob, after=Digest.of(WHY.encode()))

    answer = served.post("olivia", f"keys/{bob}/revocation", said, reason=WHY)

    assert [one["digest"] for one in answer.json()["object"]["revoked"]] == [str(bob)]
    assert deny_list(served).keys == {bob}
    assert (
        served.client.get("/api/v1/trust", headers={"authorization": f"Bearer {served.tokens['bob']}"}).status_code
        == 401
    )


def test_revoking_twice_says_where_it_was_recorded(served):
    served.world.register()

    first, second = revoked(served).json(), revoked(served, who="ann", reason="again").json()

    assert (first["first"], first["stop"]) == (second["first"], second["stop"])
    assert len(deny_list(served).entries) == 1


def test_who_asks_is_told_what_is_revoked(served):
    served.world.register()
    assert served.get("alice", f"{RELEASE}/revocation").status_code == 404
    revoked(served)

    assert served.get("alice", f"{RELEASE}/revocation").json()["reason"] == WHY
    assert served.get("alice", "releases/magika/9.9.9/revocation").status_code == 404


@pytest.mark.parametrize("reason", ["", " ", "x" * 1001, 5, None])
def test_a_revocation_says_why(served, reason):
    served.world.register()
    release = served.world.record(TAG).release
    said = served.world.say("olivia", "release.revoke", TAG, before=release, after=Digest.of(str(reason).encode()))

    assert served.post("olivia", f"{RELEASE}/revocation", said, reason=reason).status_code == 422


def test_the_timestamp_is_asked_for_anew_and_everything_else_is_for_ever(served):
    served.world.register()
    revoked(served)

    assert fetched(served, TIMESTAMP).headers["cache-control"] == "no-cache"
    assert "immutable" in fetched(served, "1.root.json").headers["cache-control"]


@pytest.mark.parametrize(
    "place",
    [
        "",
        "2.root.json",
        "%2e%2e/keys/vsa.pem",
        ".lock",
        "targets",
        "signed/x",
        "timestamp.json/",
        "x" * 200,
    ],
)
def test_there_is_nothing_else(served, place):
    served.world.register()
    revoked(served)

    assert fetched(served, place).status_code in (404, 422)


def test_what_cannot_be_published_is_recorded_all_the_same_and_said(served, logged):
    release = served.world.register()

    class Full:
        def publish(self, *_):
            raise UnavailableError("the disk is full")

    object.__setattr__(served.installation, "updates", Full())

    answer = revoked(served)

    assert answer.status_code == 200 and answer.json()["published"] is None
    assert "hosts do not learn of entry" in str(logged())
    assert served.world.installation.revocations([release.digest]).entries


def test_two_servers_of_one_log_write_the_same(served):
    other = Served()
    other.installation = replace(served.installation, updates=other.world.installation.updates)
    served.world.register()
    revoked(served)
    from lockgate.app.publish_updates import publish_updates

    publish_updates(other.installation, served.world.now + timedelta(seconds=200))

    first, second = served.installation.updates.files, other.installation.updates.files
    assert {place: second[place] for place in second} == {place: first[place] for place in second}


def test_a_timestamp_is_renewed_in_its_second_half(served):
    from lockgate.app.publish_updates import publish_updates

    assert publish_updates(served.installation, served.world.now)
    assert not publish_updates(served.installation, served.world.now + LIFE / 2 - timedelta(seconds=1))
    assert publish_updates(served.installation, served.world.now + LIFE / 2)
    ends = tuf.expiry(tuf.parse(fetched(served, TIMESTAMP).content).signed)
    assert ends == datetime(2026, 11, 21, 12, 15, tzinfo=UTC)


def test_a_server_without_the_key_that_the_trust_names_publishes_nothing(served):
    from lockgate.app.publish_updates import publish_updates

    stranger = replace(served.installation, keys=replace(served.installation.keys, updates=key("mallory")))

    with pytest.raises(UnavailableError, match="not one that the trust names for updates"):
        publish_updates(stranger, served.world.now)
    assert fetched(served, TIMESTAMP).status_code == 404


def test_rules_of_before_there_were_updates_say_what_to_do(served):
    from lockgate.app.publish_updates import publish_updates
    from lockgate.core.journal import rulebook_subject

    memory, subject = served.world.memory, rulebook_subject(Name("prod"))
    state, first, last = memory.states[subject]
    memory.states[subject] = (replace(state, targets=None, roots=()), first, last)

    with pytest.raises(UnavailableError, match="`lockgate trust propose`"):
        publish_updates(served.installation, served.world.now)
    memory.states[subject] = (state, first, last)
