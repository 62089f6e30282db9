"""Whose word of what runs on a host is one, and when is a former release back there?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.presence import MAX_RUNS, PRESENCE, Gone, Presence, Run, Voice, hear, open_presence, sign_presence
from lockgate.core.restoration import HEARD, Restoration, together, words_of
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.world import NOW, PROD, key, trust

FORMER, LATEST, OTHER = Digest.of(b"former"), Digest.of(b"latest"), Endpoint.parse("prod/other")
ENTRY, LEASE = 12, timedelta(seconds=20)
BACK = Run(PROD, FORMER, ENTRY, ready=True)
GOOD = Presence(Name("host-1"), "a" * 32, 1, NOW, alone=False, runs=(BACK,))
ONE = Name("host-1")
ORDERED = Restoration(FORMER, ENTRY, NOW)


def seconds(number):
    return timedelta(seconds=number)


def found(name):
    return trust().actor(name, NOW)


@pytest.mark.parametrize("runs", [(), (BACK,), tuple(replace(BACK, epoch=number) for number in range(MAX_RUNS))])
def test_what_a_node_says_of_itself_is_taken(runs):
    opened, node = open_presence(sign_presence(replace(GOOD, runs=runs), key("host-1")), found)

    assert opened.runs == runs and node.name == ONE


@pytest.mark.parametrize(
    ("presence", "signer"),
    [
        (GOOD, "alice"),
        (replace(GOOD, node=Name("alice")), "host-1"),
        (replace(GOOD, incarnation="a" * 15), "host-1"),
        (replace(GOOD, incarnation="a" * 65), "host-1"),
        (replace(GOOD, incarnation="agent".ljust(16, "-")), "host-1"),
        (replace(GOOD, sequence=-1), "host-1"),
        (replace(GOOD, runs=(BACK, replace(BACK, ready=False))), "host-1"),
        (replace(GOOD, runs=tuple(replace(BACK, epoch=number) for number in range(MAX_RUNS + 1))), "host-1"),
        (replace(GOOD, alone=True, runs=(BACK, replace(BACK, epoch=5))), "host-1"),
    ],
)
def test_a_near_miss_is_not(presence, signer):
    with pytest.raises(VerificationError):
        open_presence(sign_presence(presence, key(signer)), found)


@pytest.mark.parametrize(
    "document", [b"", b"{}", dsse.sign(plain.encode(GOOD), PRESENCE + "x", [key("host-1")]).encode()]
)
def test_junk_is_not(document):
    with pytest.raises(VerificationError):
        open_presence(document, found)


def heard(*said, voice=None):
    """Hear one word after the other, a second apart."""
    for number, presence in enumerate(said):
        voice = hear(voice, presence, NOW + seconds(number)) or voice
    return voice


def test_the_newest_word_counts_and_what_it_names_no_more_is_gone_since_then():
    elsewhere = Run(OTHER, LATEST, 3, ready=True)
    voice = heard(GOOD, replace(GOOD, sequence=2, runs=(elsewhere,)), replace(GOOD, sequence=3, runs=(elsewhere,)))

    assert voice.runs == (elsewhere,) and voice.gone == (Gone(PROD, NOW + seconds(1)),)
    assert voice.gone_since(OTHER) is None and voice.endpoints == {PROD, OTHER}
    back = heard(replace(GOOD, sequence=4), voice=voice)
    assert back.gone_since(PROD) is None and back.gone_since(OTHER) is not None


@pytest.mark.parametrize("sequence", [0, 1, 4, 5])
def test_an_old_word_or_one_that_is_said_again_is_no_news(sequence):
    voice = heard(replace(GOOD, sequence=5))

    assert hear(voice, replace(GOOD, sequence=sequence, runs=()), NOW) is None


def test_the_next_agent_speaks_in_the_place_of_the_one_before_which_is_never_heard_again():
    again = replace(GOOD, incarnation="b" * 32, sequence=0, runs=())
    voice = heard(replace(GOOD, sequence=5), again)

    assert voice.lives == ("a" * 32, "b" * 32) and voice.runs == () and voice.gone_since(PROD) == NOW + seconds(1)
    assert hear(voice, replace(GOOD, sequence=9), NOW) is None


def voice(*runs, node=ONE, at=5.0, gone=()):
    """Say what a speaker said so many seconds after the rollback was ordered."""
    ended = tuple(Gone(PROD, NOW + seconds(since)) for since in gone)
    return Voice(node, ("a" * 32,), 1, NOW + seconds(at), runs, ended)


def words(*voices, after=6.0):
    return dict(words_of(PROD, voices, ORDERED, LEASE, NOW + seconds(after)))


def test_a_host_is_back_when_the_release_runs_there_answers_and_is_all_that_runs():
    assert words(voice(BACK)) == {ONE: "back"}
    assert words(voice(BACK, Run(OTHER, LATEST, 3, ready=True))) == {ONE: "back"}


@pytest.mark.parametrize(
    "runs",
    [
        (replace(BACK, ready=False),),
        (replace(BACK, epoch=ENTRY - 1),),
        (replace(BACK, epoch=ENTRY + 1),),
        (replace(BACK, release=LATEST),),
        (BACK, Run(PROD, LATEST, 9, ready=True)),
        (BACK, Run(PROD, LATEST, 9, ready=False)),
        (BACK, replace(BACK, epoch=5)),
        (Run(PROD, LATEST, 9, ready=True),),
    ],
    ids=[
        "not ready", "former epoch", "later epoch", "wrong release", "beside another", "beside one that ends",
        "beside its former self", "another alone",
    ],
)  # fmt: skip
def test_a_host_that_says_anything_else_is_not_back(runs):
    assert words(voice(*runs)) == {ONE: "not yet"}


def test_a_host_that_says_nothing_is_silent_and_never_back():
    assert words(voice(BACK), after=5 + HEARD.total_seconds()) == {ONE: "back"}
    assert words(voice(BACK), after=5.1 + HEARD.total_seconds()) == {ONE: "silent"}


@pytest.mark.parametrize(
    ("said", "after", "awaited"),
    [
        (voice(Run(OTHER, LATEST, 9, ready=True)), 6, False),
        (voice(gone=(-31,)), 6, False),
        (voice(gone=(-30,)), 6, False),
        (voice(gone=(-29,)), 6, True),
        (voice(gone=(3,)), 6, True),
        (voice(Run(PROD, LATEST, 9, ready=True), at=-31), 20, True),
        (voice(Run(PROD, LATEST, 9, ready=True), at=-31), 21, False),
        (voice(Run(PROD, LATEST, 9, ready=True), at=-30), 21, True),
    ],
    ids=[
        "of another endpoint", "long gone", "just long gone", "gone a moment before", "gone since",
        "silent with its lease", "silent without", "heard just then",
    ],
)  # fmt: skip
def test_a_host_is_awaited_if_anything_ran_there_or_may_run_there(said, after, awaited):
    assert (words(said, after=after) != {}) is awaited
    assert "back" not in words(said, after=after).values()


def test_a_run_that_spoke_alone_and_fell_silent_counts_until_its_lease_is_over():
    alone, agent = voice(Run(PROD, LATEST, 9, ready=True), at=-1), voice(BACK, at=30)

    assert words(alone, agent, after=19) == {ONE: "not yet"}
    assert words(alone, agent, after=30.1) == {ONE: "back"}
    assert words(replace(alone, runs=(), gone=(Gone(PROD, NOW),)), voice(BACK)) == {ONE: "back"}


def test_a_run_that_still_speaks_counts_however_short_its_lease_is():
    assert words(voice(Run(PROD, LATEST, 9, ready=True)), voice(BACK, at=20), after=26) == {ONE: "not yet"}


def test_a_run_that_is_silent_counts_however_long_its_lease_is():
    alone, minute = voice(Run(PROD, LATEST, 9, ready=True), at=-1), timedelta(minutes=1)
    found = [
        words_of(PROD, [alone, voice(BACK, at=after - 1)], ORDERED, minute, NOW + seconds(after)) for after in (60, 61)
    ]
    assert found == [{ONE: "not yet"}, {ONE: "back"}]


def test_each_host_speaks_for_itself():
    two = Name("host-2")
    assert words(voice(BACK), voice(replace(BACK, ready=False), node=two)) == {ONE: "back", two: "not yet"}


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ({}, {}, {}),
        ({ONE: "back"}, {}, {ONE: "back"}),
        ({}, {ONE: "silent"}, {ONE: "silent"}),
        ({ONE: "back"}, {ONE: "back"}, {ONE: "back"}),
        ({ONE: "back"}, {ONE: "not yet"}, {ONE: "not yet"}),
        ({ONE: "silent"}, {ONE: "back"}, {ONE: "silent"}),
    ],
)
def test_a_host_that_speaks_in_two_ways_is_back_if_it_says_so_twice(one, other, both):
    assert together(one, other) == both
