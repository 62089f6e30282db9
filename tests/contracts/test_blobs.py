"""Does every store give back the file that was put, with a wrap that opens it, or none?"""

import itertools
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockgate.app.ports import Blobs
from lockgate.core.wrap import Kek, Wrap
from lockgate.drivers.local_store import LocalStore
from lockgate.drivers.memory import MemoryBlobs
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest

FILE, OTHER = Digest.of(b"plaintext"), Digest.of(b"another")
INGEST, RELEASE, SECOND = Kek("ingest-2026-11-21"), Kek.of_release(Digest.of(b"1")), Kek.of_release(Digest.of(b"2"))


def fills_the_port(driver: MemoryBlobs | LocalStore) -> Blobs:
    """Show the type checker which port the drivers fill."""
    return driver


def read(blobs, digest=FILE):
    with blobs.open(digest) as stream:
        return stream.read()


def put(blobs, *pieces, wrap=b"wrap", digest=FILE, instead=None):
    blobs.put(pieces or [b"content"], digest, Wrap(INGEST, wrap), instead=instead or {})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=100), max_size=5), wrap=st.binary(max_size=100))
def test_what_was_put_is_read_again_with_its_wrap(blobs, pieces, wrap):
    digest = Digest.of(b"".join(pieces) + b"|" + wrap)
    blobs.put(iter(pieces), digest, Wrap(INGEST, wrap), instead={})

    assert read(blobs, digest) == b"".join(pieces)
    assert blobs.wraps(digest) == {INGEST: wrap}


def test_a_file_of_many_pieces_of_any_kind_is_one_file(blobs):
    pieces = [memoryview(bytes([n]) * 70_000) if n % 2 else bytes([n]) * 70_000 for n in range(40)]
    put(blobs, *pieces)

    assert read(blobs) == b"".join(pieces)


def test_a_piece_may_be_used_again_when_the_next_is_asked_for(blobs):
    buffer = bytearray(3)

    def pieces():
        for text in (b"con", b"ten", b"ts."):
            buffer[:] = text
            yield memoryview(buffer)

    blobs.put(pieces(), OTHER, Wrap(INGEST, b""), instead={})
    assert read(blobs, OTHER) == b"contents."


def test_nobody_has_what_was_not_put(blobs):
    put(blobs, digest=OTHER)

    assert blobs.wraps(FILE) == {}
    with pytest.raises(UnavailableError, match="is not here"):
        blobs.open(FILE)
    with pytest.raises(UnavailableError, match="is not here"):
        blobs.add(FILE, Wrap(RELEASE, b"wrap"))


def test_the_first_one_stays(blobs):
    put(blobs, b"first", wrap=b"of the first")
    put(blobs, b"second", wrap=b"of the second")

    assert (read(blobs), blobs.wraps(FILE)) == (b"first", {INGEST: b"of the first"})


def test_one_that_nobody_opens_is_replaced_with_all_its_wraps(blobs):
    put(blobs, b"first")
    blobs.add(FILE, Wrap(RELEASE, b"lost"))
    dead = blobs.wraps(FILE)

    put(blobs, b"second", wrap=b"new", instead=dead)

    assert (read(blobs), blobs.wraps(FILE)) == (b"second", {INGEST: b"new"})


@pytest.mark.parametrize(
    "instead", [{}, {INGEST: b"other"}, {RELEASE: b"wrap"}, {INGEST: b"wrap", RELEASE: b"wrap"}], ids=range(4)
)
def test_it_is_not_replaced_by_who_saw_other_wraps(blobs, instead):
    put(blobs, b"first")
    put(blobs, b"second", instead=instead)

    assert (read(blobs), blobs.wraps(FILE)) == (b"first", {INGEST: b"wrap"})


def test_nothing_is_replaced_that_is_not_there(blobs):
    put(blobs, b"second", instead={INGEST: b"wrap"})

    assert blobs.wraps(FILE) == {}


def test_a_wrap_is_added_and_replaced_and_the_file_stays(blobs):
    put(blobs)
    for wrap in (Wrap(RELEASE, b"one"), Wrap(SECOND, b"two"), Wrap(RELEASE, b"three")):
        blobs.add(FILE, wrap)

    assert blobs.wraps(FILE) == {INGEST: b"wrap", RELEASE: b"three", SECOND: b"two"}
    assert read(blobs) == b"content"


def test_a_source_that_breaks_off_leaves_nothing(blobs):
    def broken():
        yield b"con"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        blobs.put(broken(), FILE, Wrap(INGEST, b"wrap"), instead={})

    assert blobs.wraps(FILE) == {}


def test_all_of_a_source_is_read_even_if_the_file_is_there(blobs):
    put(blobs)
    pieces = itertools.chain([b"con"], [b"tent"])

    blobs.put(pieces, FILE, Wrap(INGEST, b"wrap"), instead={})

    assert list(pieces) == []


def test_one_file_can_be_read_by_several_at_once(blobs):
    put(blobs)

    with blobs.open(FILE) as one, blobs.open(FILE) as other:
        assert (one.read(3), other.read(), one.read()) == (b"con", b"content", b"tent")


def test_of_many_who_put_one_file_at_once_one_is_kept_whole_with_its_own_wrap(blobs):
    start = threading.Barrier(8)

    def write(who):
        def pieces():
            start.wait()
            yield bytes([who]) * 1000

        blobs.put(pieces(), FILE, Wrap(INGEST, bytes([who])), instead={})

    writers = [threading.Thread(target=write, args=(who,)) for who in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert read(blobs) == blobs.wraps(FILE)[INGEST] * 1000
