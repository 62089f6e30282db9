"""Is a checkpoint believed only when the log itself has signed it?"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from lockgate.tlog.merkle import EMPTY_ROOT, MAX_SIZE, Hash
from lockgate.tlog.note import open_note
from tests.tlog.cases import cases, judge
from tests.tlog.keys import ORIGIN, signer

LOG = signer()
SEVEN = Checkpoint(ORIGIN, 7, Hash(b"\x07" * 32))


@pytest.mark.parametrize("case", cases("checkpoint.txt"))
def test_checkpoints_get_their_verdict(case):
    judge(case, lambda: open_checkpoint(case.content, case.keys))


def test_signed_checkpoint_opens_as_itself():
    assert open_checkpoint(sign_checkpoint(SEVEN, LOG), [LOG.verifier]) == SEVEN


@given(st.integers(1, MAX_SIZE), st.binary(min_size=32, max_size=32))
def test_each_checkpoint_opens_as_itself(size, root):
    checkpoint = Checkpoint(ORIGIN, size, Hash(root))

    note = sign_checkpoint(checkpoint, LOG)

    assert open_checkpoint(note, [LOG.verifier]) == checkpoint
    assert open_note(note, [LOG.verifier]).text == checkpoint.encode()


@pytest.mark.parametrize(
    "spoiled",
    [
        replace(SEVEN, size=-1),
        replace(SEVEN, size=MAX_SIZE + 1),
        replace(SEVEN, size=0),
        replace(SEVEN, root=Hash(EMPTY_ROOT[:31])),
        replace(SEVEN, root=Hash(EMPTY_ROOT + b"\x00")),
        replace(SEVEN, origin=""),
        replace(SEVEN, origin="other.example"),
        replace(SEVEN, origin=f"{ORIGIN}\n999\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    ],
)
def test_spoiled_checkpoint_is_not_signed(spoiled):
    with pytest.raises(VerificationError):
        sign_checkpoint(spoiled, LOG)


def test_checkpoint_is_not_signed_under_another_name():
    with pytest.raises(VerificationError, match="cannot sign for another origin"):
        sign_checkpoint(SEVEN, signer("witness.example"))
