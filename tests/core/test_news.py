"""Is every entry that concerns a host a word, and is a word read as it was said?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.change import Closed
from lockgate.core.endpoint import Activated, RolledBack, Suspended, Tripped
from lockgate.core.journal import EVENT_TYPES, Denied, read_fact
from lockgate.core.news import WORDS, News, news_of, read_news
from lockgate.core.policy import PolicyAdopted
from lockgate.core.revocation import KeyRevoked, Offboarded, ReleaseRevoked
from lockgate.core.rollout import Aborted, Paused, Promoted, Resumed, Stepped
from lockgate.core.trust import TrustAdopted
from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag
from tests.world import PROD, World

DIGEST = Digest.of(b"x")
TAG = Tag.parse("magika@1.1.0")


RULED = {name.type for name in (TrustAdopted, PolicyAdopted, Offboarded)}
TOLD = {name.type for name in (Suspended, Tripped, Activated, RolledBack, ReleaseRevoked, KeyRevoked)} | RULED
TOLD |= {name.type for name in (Stepped, Promoted, Aborted)}
SILENT = {name for name in EVENT_TYPES if name.startswith(("change.", "release.keys", "release.registered"))}
SILENT |= {"delegate.named/v1", "delegate.recalled/v1", "provider.observed/v1"}
SILENT |= {
    "release.attested/v1",
    "rules.proposed/v1",
    "endpoint.alerted/v1",
    "denied/v1",
    "trial.begun/v1",
    "suite.added/v1",
    "provider.observed/v1",
    "endpoint.flagged/v1",
    "target.examined/v1",
}
SILENT |= {"delegate.named/v1", "delegate.recalled/v1", "concession.made/v1", "override.lapsed/v1", "review.overdue/v1"}
SILENT |= {"rollout.paused/v1", "rollout.resumed/v1", "rollback.restored/v1", "rollback.overdue/v1"}


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Suspended(PROD, Name("olivia"), DIGEST), ["suspended prod/magika"]),
        (Tripped(PROD, Name("storm"), DIGEST, DIGEST), ["suspended prod/magika"]),
        (Activated(PROD, Tag.parse("magika@1.0.0"), DIGEST, None, 1, DIGEST), ["replaced prod/magika"]),
        (RolledBack(PROD, Tag.parse("magika@1.0.0"), DIGEST, DIGEST, Name("dave"), DIGEST), ["replaced prod/magika"]),
        (KeyRevoked(Name("prod"), DIGEST, "lost", Name("olivia"), DIGEST), [f"revoked {DIGEST}", f"rules {DIGEST}"]),
        (Offboarded(Name("prod"), Name("bob"), "left", Name("olivia"), DIGEST), ["rules prod"]),
        (Stepped(PROD, 1, 0, 5, DIGEST), ["replaced prod/magika"]),
        (Promoted(PROD, TAG, DIGEST, DIGEST, 1, DIGEST), ["replaced prod/magika"]),
        (Aborted(PROD, TAG, DIGEST, 1, "person", suspends=False, why=DIGEST), ["replaced prod/magika"]),
        (Aborted(PROD, TAG, DIGEST, 1, "metric:errors", suspends=True, why=DIGEST), ["suspended prod/magika"]),
        (Paused(PROD, 1, "person", DIGEST), []),
        (Resumed(PROD, 1, DIGEST), []),
        (Closed(1, "succeeded"), []),
        (Denied("read", "x", DIGEST), []),
    ],
)
def test_what_concerns_hosts_is_news(event, words):
    assert [f"{news.word} {news.about}" for news in news_of(event, 7)] == words
    assert all(news.index == 7 for news in news_of(event, 7))


def test_a_whole_life_is_told_in_words():
    world = World()
    release = world.serve("1.0.0")
    world.serve("1.1.0")
    world.roll_back()
    world.shut_down()
    world.revoke("magika@1.0.0")
    world.offboard("bob")

    told = [news for index, entry in enumerate(world.memory.log) for news in news_of(read_fact(entry)[1], index)]

    words = [news.word for news in told]
    first = words.index("replaced")
    assert set(words[:first]) == {"rules"}
    assert words[first:] == ["replaced", "replaced", "replaced", "suspended", "revoked", "rules", "rules"]
    assert str(release.digest) in [news.about for news in told]


def test_every_event_that_changes_what_may_serve_is_thought_of():
    assert EVENT_TYPES.keys() == SILENT | TOLD
    assert not SILENT & TOLD


@given(st.sampled_from(WORDS), st.integers(0, 10**15))
def test_a_word_is_read_as_it_was_said(word, index):
    news = News(word, str(Endpoint.parse("prod/magika")), index)

    lines = news.encode().decode().removesuffix("\n\n").split("\n")

    assert read_news(dict(line.split(": ", 1) for line in lines)) == news


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "suspended", "data": "prod/x"},
        {"event": "suspended", "data": "prod/x", "id": "-1"},
        {"event": "suspended", "data": "prod/x", "id": "1e3"},
        {"event": "suspended", "data": "prod/x", "id": "9" * 30},
        {"event": "suspended", "data": "prod/x", "id": "\u0661"},
        {"event": "suspended", "data": "x" * 257, "id": "1"},
    ],
)
def test_what_is_no_news_is_refused(fields):
    with pytest.raises(VerificationError, match="no news"):
        read_news(fields)


def test_a_word_of_later_is_passed_over():
    assert read_news({"event": "moved", "data": "prod/x", "id": "1"}) is None
