"""Is a head signed only if it is the last one, or grew from it?"""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import ConflictError, DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.tlog.anchor import (
    MAX_LINE,
    MAX_PROOF,
    Anchor,
    AskLast,
    AskSign,
    Refused,
    Signed,
    check_growth,
    empty_anchor,
    encode_line,
    read_question,
    read_reply,
)
from lockgate.tlog.checkpoint import sign_checkpoint
from lockgate.tlog.merkle import Hash
from tests.tlog.keys import ORIGIN, signer
from tests.tlog.trees import Tree

LOG, OTHER = Tree(), Tree(seed="other")
EMPTY = empty_anchor(ORIGIN).head


@given(st.integers(1, 64), st.integers(1, 64))
def test_a_log_that_grew_is_signed_and_one_that_shrank_is_not(old, new):
    if old <= new:
        check_growth(LOG.head(old), LOG.head(new), LOG.proof(old, new))
    else:
        with pytest.raises(ConflictError, match=f"{new} entries, but {old} were signed"):
            check_growth(LOG.head(old), LOG.head(new), ())


def test_the_first_head_is_taken_as_it_is():
    check_growth(EMPTY, LOG.head(5), ())
    check_growth(EMPTY, EMPTY, ())


@given(st.integers(1, 64), st.integers(1, 64), st.lists(st.binary(min_size=32, max_size=32), max_size=8))
def test_another_log_is_never_signed_whatever_is_brought_as_proof(old, new, made_up):
    for proof in (LOG.proof(old, new), OTHER.proof(old, new), tuple(map(Hash, made_up))):
        with pytest.raises((VerificationError, ConflictError)):
            check_growth(LOG.head(old), OTHER.head(new), proof)


@pytest.mark.parametrize(
    ("last", "head", "proof"),
    [
        pytest.param(LOG.head(21), OTHER.head(21), (), id="another root of the same size"),
        pytest.param(LOG.head(21), LOG.head(34), (), id="no proof"),
        pytest.param(LOG.head(21), LOG.head(34), LOG.proof(21, 34)[:-1], id="half a proof"),
        pytest.param(LOG.head(21), LOG.head(34), (*LOG.proof(21, 34), LOG.leaves[0]), id="more than a proof"),
        pytest.param(LOG.head(21), LOG.head(34), LOG.proof(20, 34), id="the proof of another head"),
        pytest.param(LOG.head(21), LOG.head(21), LOG.proof(20, 21), id="a proof where nothing grew"),
        pytest.param(LOG.head(21), replace(LOG.head(34), origin="other.example"), LOG.proof(21, 34), id="other log"),
        pytest.param(LOG.head(21), replace(LOG.head(34), size=-1), LOG.proof(21, 34), id="no size"),
        pytest.param(LOG.head(21), replace(LOG.head(34), root=Hash(b"x")), LOG.proof(21, 34), id="no root"),
        pytest.param(EMPTY, LOG.head(34), LOG.proof(21, 34), id="a proof from nothing"),
        pytest.param(EMPTY, replace(EMPTY, root=LOG.leaves[0]), (), id="an empty log with a root"),
    ],
)
def test_what_is_no_growth_is_refused(last, head, proof):
    with pytest.raises(VerificationError):
        check_growth(last, head, proof)


def test_a_memory_is_read_as_it_was_written():
    anchor = Anchor.of(LOG.head(21))

    assert plain.decode(Anchor, plain.encode(anchor)) == anchor
    assert anchor.head == LOG.head(21)


@pytest.mark.parametrize("asked", [AskLast(), AskSign.of(LOG.head(34), LOG.proof(21, 34))])
def test_a_question_is_read_as_it_was_asked(asked):
    assert read_question(encode_line(asked)) == asked


def test_a_head_and_its_proof_arrive_as_they_were_sent():
    assert AskSign.of(LOG.head(34), LOG.proof(21, 34)).read() == (LOG.head(34), LOG.proof(21, 34))


@pytest.mark.parametrize(
    "asked",
    [
        AskSign("", ()),
        AskSign("a\n1\n", ()),
        AskSign(LOG.head(1).encode() + "more\n", ()),
        AskSign(LOG.head(1).encode().replace("\n1\n", "\n01\n"), ()),
        AskSign(LOG.head(1).encode(), ("AAAA",)),
        AskSign(LOG.head(1).encode(), ("not base64",)),
        AskSign.of(LOG.head(1), (LOG.leaves[0],) * (MAX_PROOF + 1)),
    ],
)
def test_a_head_that_is_none_is_refused(asked):
    with pytest.raises(VerificationError):
        asked.read()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        encode_line(AskLast())[:-1],
        encode_line(AskLast()) + encode_line(AskLast()),
        b'{"type":"signer.last/v2"}\n',
        b'{"type":"signer.signed/v1","note":""}\n',
        b'{"type":"signer.last/v1","more":1}\n',
        b'{"type":"signer.sign/v1","head":""}\n',
        b"\xff\n",
        b'"' + b"x" * MAX_LINE + b'"\n',
    ],
)
def test_a_line_that_is_no_question_is_refused(line):
    with pytest.raises(VerificationError):
        read_question(line)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_question_or_refused(line):
    with suppress(VerificationError):
        read_question(line)


def test_a_note_comes_back_as_it_was_signed():
    note = sign_checkpoint(LOG.head(34), signer())

    assert read_reply(encode_line(Signed(note))) == note


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConflictError("smaller"), ConflictError),
        (VerificationError("another"), VerificationError),
        (UnavailableError("the disk is full"), UnavailableError),
        (DeniedError("no"), UnavailableError),
    ],
)
def test_a_refusal_is_raised_where_it_was_asked_for(error: LockgateError, told: type[LockgateError]) -> None:
    with pytest.raises(told, match=str(error)):
        read_reply(encode_line(Refused.of(error)))
