"""Does every store give back the bytes that were put, or none?"""

import hashlib
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockgate.app.ports import Blobs
from lockgate.drivers.local_store import LocalStore
from lockgate.drivers.memory import MemoryBlobs
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.digest import Digest


def fills_the_port(driver: MemoryBlobs | LocalStore) -> Blobs:
    """Show the type checker which port the drivers fill."""
    return driver


def read(blobs, digest):
    with blobs.open(digest) as stream:
        return stream.read()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=100), max_size=5))
def test_what_was_put_is_read_again(blobs, pieces):
    whole = b"".join(pieces)

    assert blobs.put(iter(pieces), Digest.of(whole)) == len(whole)

    assert blobs.has(Digest.of(whole))
    assert read(blobs, Digest.of(whole)) == whole


def test_a_blob_of_many_pieces_is_one_file(blobs):
    pieces = [bytes([n]) * 70_000 for n in range(40)]
    digest = Digest(hashlib.sha256(b"".join(pieces)).hexdigest())

    assert blobs.put(pieces, digest) == 2_800_000
    assert read(blobs, digest) == b"".join(pieces)


@pytest.mark.parametrize("spoilt", [[b"conten"], [b"content", b"s"], [b"Content"], [], [b"tent", b"con"]])
def test_other_bytes_are_refused_and_leave_nothing(blobs, spoilt):
    with pytest.raises(VerificationError, match="not sha256:"):
        blobs.put(spoilt, Digest.of(b"content"))

    assert not blobs.has(Digest.of(b"content"))
    with pytest.raises(UnavailableError):
        blobs.open(Digest.of(b"content"))


def test_a_blob_may_be_put_again_but_only_itself(blobs):
    digest = Digest.of(b"content")
    blobs.put([b"content"], digest)

    assert blobs.put([b"con", b"tent"], digest) == 7
    with pytest.raises(VerificationError):
        blobs.put([b"other"], digest)

    assert read(blobs, digest) == b"content"


def test_a_source_that_breaks_off_leaves_nothing(blobs):
    def broken():
        yield b"con"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        blobs.put(broken(), Digest.of(b"content"))

    assert not blobs.has(Digest.of(b"content"))


def test_all_of_a_source_is_read_even_if_the_blob_is_there(blobs):
    blobs.put([b"content"], Digest.of(b"content"))
    pieces = itertools.chain([b"con"], [b"tent"])

    blobs.put(pieces, Digest.of(b"content"))

    assert list(pieces) == []


def test_one_blob_can_be_read_by_several_at_once(blobs):
    blobs.put([b"content"], Digest.of(b"content"))

    with blobs.open(Digest.of(b"content")) as one, blobs.open(Digest.of(b"content")) as other:
        assert (one.read(3), other.read(), one.read()) == (b"con", b"content", b"tent")
