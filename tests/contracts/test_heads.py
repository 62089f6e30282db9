"""Does every signer of heads remember, and never go back?"""

import threading

import pytest

from lockgate.drivers.anchor_file import AnchorFile, begin_memory
from lockgate.drivers.memory import MemoryHeads
from lockgate.drivers.signer_socket import SignerSocket
from lockgate.errors import ConflictError, UnavailableError, VerificationError
from lockgate.formats.keys import PrivateKey
from lockgate.keyring import server_key
from lockgate.signer.sitting import listen, sit
from lockgate.tlog.checkpoint import open_checkpoint
from lockgate.tlog.note import NoteVerifier
from tests.tlog.keys import ORIGIN
from tests.tlog.trees import Tree

LOG, OTHER = Tree(600), Tree(600, seed="other")


@pytest.fixture(params=["memory", "file", "socket"])
def signing(request, tmp_path):
    """A signer that has signed nothing, and who verifies what it signs."""
    if request.param == "memory":
        key = PrivateKey.from_seed(b"s" * 32)
        yield MemoryHeads(ORIGIN, key), NoteVerifier(ORIGIN, key.public.raw)
        return
    begin_memory(tmp_path, ORIGIN)
    own = server_key(tmp_path, "checkpoint")
    verifier = NoteVerifier(ORIGIN, own.public.raw)
    kept = AnchorFile(tmp_path, own)
    if request.param == "file":
        yield kept, verifier
        return
    yield from sat(tmp_path / "s", kept, verifier)


def sat(path, kept, verifier):
    import os

    ends, stops = os.pipe()
    with listen(path, {os.geteuid()}) as door:
        thread = threading.Thread(target=sit, args=(door, kept, {os.geteuid()}, ends))
        thread.start()
        yield SignerSocket(path), verifier
        os.close(stops)
        thread.join()
    os.close(ends)


@pytest.fixture
def heads(signing):
    return signing[0]


@pytest.fixture
def opened(signing):
    return lambda note: open_checkpoint(note, [signing[1]])


def test_nothing_was_signed_at_first(heads, opened):
    assert (opened(heads.last()).size, opened(heads.last()).origin) == (0, ORIGIN)


def test_each_head_that_grew_is_signed_and_remembered(heads, opened):
    before = 0
    for size in (1, 2, 3, 255, 256, 257, 600):
        note = heads.sign(LOG.head(size), LOG.proof(before, size))

        assert opened(note) == opened(heads.last()) == LOG.head(size)
        before = size


def test_a_head_may_be_signed_again(heads):
    note = heads.sign(LOG.head(21), ())

    assert heads.sign(LOG.head(21), ()) == note


def test_what_was_refused_is_not_remembered(heads, opened):
    heads.sign(LOG.head(21), ())

    with pytest.raises(ConflictError, match="the head has 20 entries, but 21 were signed"):
        heads.sign(LOG.head(20), ())
    for head, proof in ((OTHER.head(21), ()), (OTHER.head(34), OTHER.proof(21, 34)), (LOG.head(34), ())):
        with pytest.raises(VerificationError):
            heads.sign(head, proof)

    assert opened(heads.last()) == LOG.head(21)
    heads.sign(LOG.head(34), LOG.proof(21, 34))


def test_of_two_logs_that_grow_at_once_only_one_is_signed(heads, opened):
    heads.sign(LOG.head(1), ())
    ended: list[object] = []

    def grow(tree):
        for size in range(2, 60):
            try:
                heads.sign(tree.head(size), tree.proof(size - 1, size))
            except (ConflictError, VerificationError, UnavailableError) as e:
                ended.append(e)
                return

    threads = [threading.Thread(target=grow, args=(tree,)) for tree in (LOG, OTHER, Tree(600, seed="third"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert opened(heads.last()) == LOG.head(59)
    assert len(ended) == 2
