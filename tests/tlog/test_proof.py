"""Does one file show that an entry was logged, and only then?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.tlog.checkpoint import Checkpoint, sign_checkpoint
from lockgate.tlog.note import MAX_NOTE
from lockgate.tlog.proof import MAX_PROOF, LogProof
from tests.tlog import oracle
from tests.tlog.cases import cases, judge
from tests.tlog.keys import ORIGIN, signer

LOG = signer()
LEAVES = oracle.leaves(70)


def proof_of(index: int, size: int, extra: bytes = b"") -> LogProof:
    checkpoint = Checkpoint(ORIGIN, size, oracle.root(LEAVES[:size]))
    return LogProof(index, tuple(oracle.path(index, LEAVES[:size])), sign_checkpoint(checkpoint, LOG), extra)


@pytest.mark.parametrize("case", cases("proof.txt"))
def test_proofs_get_their_verdict(case):
    judge(case, lambda: LogProof.parse(case.content).verify(case.fields["entry"].encode(), case.keys))


@given(st.data(), st.binary(max_size=20))
def test_each_entry_can_be_shown(data, extra):
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    proof = proof_of(index, size, extra)

    parsed = LogProof.parse(proof.encode().encode())

    assert parsed == proof
    assert parsed.verify(oracle.entry(index), [LOG.verifier]).size == size
    with pytest.raises(VerificationError):
        parsed.verify(oracle.entry(index + 1), [LOG.verifier])


def test_proof_under_an_unknown_key_shows_nothing():
    with pytest.raises(VerificationError, match="known keys"):
        proof_of(3, 7).verify(oracle.entry(3), [signer(second=True).verifier])


def test_altering_any_one_byte_is_refused():
    proof = proof_of(3, 7).encode().encode()
    for at in range(len(proof)):
        altered = proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]
        with pytest.raises(VerificationError):
            LogProof.parse(altered).verify(oracle.entry(3), [LOG.verifier])


@given(st.binary(max_size=100) | st.text(max_size=100))
def test_whatever_is_no_proof_is_refused_in_one_way(junk):
    with pytest.raises(VerificationError):
        LogProof.parse(junk)


def test_lone_surrogate_is_refused():
    with pytest.raises(VerificationError, match="not UTF-8"):
        LogProof.parse("\ud800")


def test_too_long_a_proof_is_not_read():
    assert MAX_PROOF > MAX_NOTE
    with pytest.raises(VerificationError, match=f"at most {MAX_PROOF}"):
        LogProof.parse(b"x" * (MAX_PROOF + 1))
