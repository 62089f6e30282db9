"""What do a run and its agent take from each other? Lines that mean something, bounded, and nothing else."""

import socket
from dataclasses import replace

import pytest

from lockgate.core.intent import Intent, KeyProof, SignedIntent
from lockgate.core.passport import Passport
from lockgate.core.proved import Logged
from lockgate.errors import ConflictError, DeniedError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag
from lockgate.loader import control
from lockgate.loader.control import (
    Ended,
    Keys,
    Leased,
    Refused,
    Serve,
    Session,
    SessionWanted,
    Started,
    StatusWanted,
    Stop,
    TakeBack,
    encode,
    lines,
    read_question,
    read_word,
)
from lockgate.loader.lease_clock import Held
from lockgate.loader.standing import Document, Running, Shut, Standing
from tests.world import NOW, PROD

A = Digest.of(b"a")
TAG = Tag.parse("magika@1.0.0")
SAID = SignedIntent(Intent("release.register", str(TAG), None, A, Name("alice"), "n" * 16, NOW), KeyProof("x"))
PASSPORT = Passport("manifest", {"weights": "bundle"}, ("evidence",), SAID, Logged("entry", "proof"))
QUESTIONS = [
    Serve(PROD),
    Serve(PROD, "key"),
    TakeBack(PROD, A, TAG, 9, 30, 0, NOW, PASSPORT, NOW),
    Started(NOW),
    Ended(-9, "why"),
    SessionWanted(),
    StatusWanted(),
]
RUNNING = Running(PROD, A, TAG, 9, serving=True, since=NOW, lease_seconds=30, seconds_left=20, pid=7)
STANDING = Standing(
    Name("host-1"), Name("prod"), "http://x", None, NOW, NOW, (RUNNING,), (Shut("x", None),), Document(1, NOW),
    Document(2, NOW), 12, None, ("trouble",),
)  # fmt: skip
WORDS = [
    Keys("n", "box"),
    Leased(1, 2, 3),
    Stop(("no",), 5),
    Refused("denied", ("no", "never")),
    Session("t"),
    STANDING,
]


def read(data, limit=100):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        return list(lines(ours, limit))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda each: each.type)
def test_a_question_is_read_as_it_was_asked(question):
    assert read_question(encode(question)[:-1]) == question


@pytest.mark.parametrize("word", WORDS, ids=lambda each: each.type)
def test_a_word_is_read_as_it_was_said(word):
    assert read_word(encode(word)[:-1]) == word


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"null", b"\xff", b'{"type":"serve/v2"}', b'{"type":"serve/v1"}',
                                  b'{"type":"serve/v1","endpoint":"prod/magika","x":1}', b"[" * 10_000])  # fmt: skip
def test_what_means_nothing_is_refused_by_both(line):
    for reader in (read_question, read_word):
        with pytest.raises(VerificationError):
            reader(line)


def test_a_question_is_no_word_and_a_word_is_no_question():
    for question in QUESTIONS:
        with pytest.raises(VerificationError):
            read_word(encode(question))
    for word in WORDS:
        with pytest.raises(VerificationError):
            read_question(encode(word))


def test_a_question_has_an_end():
    long = encode(Ended(0, "x" * control.MAX_QUESTION))
    with pytest.raises(VerificationError):
        read_question(long)


@pytest.mark.parametrize("data", [b"", b"a\n", b"a\nbb\n", b"\n\n", b"x" * 100 + b"\n"])
def test_lines_are_cut_where_they_end(data):
    assert read(data) == data.split(b"\n")[:-1]


def test_half_a_line_is_none():
    assert read(b"a\nhalf") == [b"a"]


def test_an_endless_line_is_cut_off():
    with pytest.raises(VerificationError, match="more than 100 bytes"):
        read(b"x" * 1000)


@pytest.mark.parametrize(
    "error", [DeniedError("a", "b"), VerificationError("a"), ConflictError("a"), UnavailableError("a")]
)
def test_an_error_crosses_as_what_it_is(error):
    raised = read_word(encode(Refused.because(error))[:-1]).raised()
    assert (type(raised), str(raised)) == (type(error), str(error))


def test_a_lease_crosses_and_loses_less_than_a_microsecond_of_its_time():
    lease = Held.since(123_456_789_999, 30)
    crossed = Leased.of(lease).held
    assert 0 <= lease.deadline_ns - crossed.deadline_ns < 1000
    assert 0 <= lease.sent_at_ns - crossed.sent_at_ns < 1000


@pytest.mark.parametrize("instants", [(2, 1, 3), (1, 3, 2), (-1, 1, 2), (3, 2, 1)])
def test_the_instants_of_a_lease_come_in_their_order(instants):
    with pytest.raises(VerificationError):
        Leased(*instants).held  # noqa: B018 - raises


def test_what_is_taken_back_is_claimed_as_it_was_judged():
    claim = QUESTIONS[2].claim
    assert (claim.endpoint, claim.release, claim.epoch, claim.seconds) == (PROD, A, 9, 30)


@pytest.mark.parametrize("seconds", [-1, 0, 1, 3601])
def test_leases_that_nobody_grants_are_claimed_by_nobody(seconds):
    with pytest.raises(VerificationError, match="a lease lasts 2 to 3600 seconds"):
        replace(QUESTIONS[2], seconds=seconds).claim  # noqa: B018 - raises


def test_nobody_answers_where_there_is_no_agent(tmp_path):
    with pytest.raises(UnavailableError, match="no agent answers at"):
        control.call(tmp_path, 1)


def test_a_home_with_a_long_name_has_a_socket_all_the_same(tmp_path):
    home = tmp_path / ("x" * 100)
    home.mkdir()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(control.address(home))
        door.listen()
        with control.call(home, 1):
            assert (home / control.SOCKET).is_socket()
