"""Is a file kept only encrypted, only if it is what it claims, and always so that somebody can open it?"""

import os
import threading
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from lockgate.app.installation import Installation
from lockgate.app.keep_blob import is_kept, keep_blob
from lockgate.app.open_blob import data_key, plaintext, release_keys
from lockgate.core.wrap import Kek, Wrap
from lockgate.drivers.local_store import LocalStore
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.segments import SEGMENT
from tests.world import NOW, World

SMALL, LARGE = b"the weights", os.urandom(3 * SEGMENT + 5)
ONE, TWO = Digest.of(b"release 1"), Digest.of(b"release 2")
BLOB = Digest.of(SMALL)
INGEST, FIRST, SECOND = Kek.of_ingest(NOW), Kek.of_release(ONE), Kek.of_release(TWO)


@pytest.fixture
def here(world: World) -> Installation:
    return world.installation


def keep(here: Installation, content: bytes = SMALL, **changes: Any) -> int:
    pieces = [content[at : at + 70_000] for at in range(0, len(content), 70_000)]
    return keep_blob(here, pieces, changes.get("digest", Digest.of(content)), changes.get("now", NOW))


def read(here: Installation, content: bytes = SMALL) -> bytes:
    digest = Digest.of(content)
    with plaintext(here.blobs, digest, data_key(here, digest)) as pieces:
        return b"".join(bytes(piece) for piece in pieces)


def stored(here: Installation, digest: Digest = BLOB) -> bytes:
    with here.blobs.open(digest) as stream:
        return stream.read()


@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_a_file_is_kept_encrypted_under_its_own_digest_and_reads_back(here: Installation, content: bytes) -> None:
    assert keep(here, content) == len(content)

    found = stored(here, Digest.of(content))
    assert not content or content[:100] not in found
    assert read(here, content) == content


def test_no_two_files_have_the_same_key_and_no_file_the_same_twice(here: Installation, world: World) -> None:
    keep(here)
    first = data_key(here, BLOB), stored(here)
    world.blobs.blobs.clear()
    world.blobs.held.clear()
    keep(here)

    assert data_key(here, BLOB) != first[0] and stored(here) != first[1]


@pytest.mark.parametrize("content", [b"", b"the weight", b"the weights!", b"The weights", LARGE], ids=range(5))
def test_what_is_not_what_it_claims_is_not_kept(here: Installation, content: bytes) -> None:
    with pytest.raises(VerificationError, match=f"not {BLOB}"):
        keep(here, content, digest=BLOB)

    assert here.blobs.wraps(BLOB) == {} and not is_kept(here, BLOB)


def test_a_file_that_is_there_is_compared_and_stays(here: Installation) -> None:
    keep(here)
    before = stored(here)

    assert keep(here) == len(SMALL)
    with pytest.raises(VerificationError, match=f"not {BLOB}"):
        keep(here, b"other", digest=BLOB)
    assert (stored(here), set(here.blobs.wraps(BLOB))) == (before, {INGEST})


@pytest.mark.parametrize("spoil", ["destroyed", "altered", "of another file"])
def test_a_file_that_nobody_opens_any_more_is_taken_anew(here: Installation, world: World, spoil: str) -> None:
    keep(here)
    keep(here, LARGE)
    before = stored(here)
    match spoil:
        case "destroyed":
            here.vault.destroy(INGEST)
        case "altered":
            here.blobs.add(BLOB, Wrap(INGEST, bytes(60)))
        case _:
            here.blobs.add(BLOB, Wrap(INGEST, here.blobs.wraps(Digest.of(LARGE))[INGEST]))
    assert not is_kept(here, BLOB)

    later = NOW + timedelta(days=1)
    keep(here, now=later)

    assert is_kept(here, BLOB) and stored(here) != before
    assert (read(here), set(here.blobs.wraps(BLOB))) == (SMALL, {Kek.of_ingest(later)})


def test_with_a_vault_that_does_not_answer_nothing_is_kept_and_nothing_is_replaced(here: Installation) -> None:
    keep(here)
    before = stored(here)
    silent = replace(here, vault=Silent())

    for content in (SMALL, LARGE):
        with pytest.raises(UnavailableError, match="the vault does not answer"):
            keep(silent, content)
    assert stored(here) == before and here.blobs.wraps(Digest.of(LARGE)) == {}


@dataclass(frozen=True)
class Silent:
    """A vault that is switched off."""

    assurance: str = "none: it is off"

    def wrap(self, *_: object) -> Wrap:
        raise UnavailableError("the vault does not answer")

    def unwrap(self, *_: object) -> bytes:
        raise UnavailableError("the vault does not answer")

    def destroy(self, *_: object) -> None:
        raise UnavailableError("the vault does not answer")


def test_many_who_bring_one_file_at_once_leave_one_that_opens(here: Installation, tmp_path) -> None:
    shared = replace(here, blobs=LocalStore(tmp_path / "blobs"))
    writers = [threading.Thread(target=keep, args=(shared, LARGE)) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert read(shared, LARGE) == LARGE


def test_a_release_has_a_wrap_of_its_own_for_each_file(here: Installation) -> None:
    keep(here)
    keep(here, LARGE)
    digests = [BLOB, Digest.of(LARGE)]

    keys = release_keys(here, ONE, digests)

    assert keys == {digest: data_key(here, digest) for digest in digests}
    assert [set(here.blobs.wraps(digest)) for digest in digests] == [{INGEST, FIRST}] * 2
    assert release_keys(here, ONE, digests) == keys


def test_a_shared_file_stays_readable_for_the_release_whose_key_is_left(here: Installation) -> None:
    keep(here)
    keys = release_keys(here, ONE, [BLOB])
    assert release_keys(here, TWO, [BLOB]) == keys

    here.vault.destroy(FIRST)
    here.vault.destroy(INGEST)

    with pytest.raises(DeniedError, match=f"the key {FIRST} was destroyed"):
        release_keys(here, ONE, [BLOB])
    assert release_keys(here, TWO, [BLOB]) == keys and read(here) == SMALL
    keep(here)  # it opens, so it is not replaced
    assert release_keys(here, TWO, [BLOB]) == keys

    here.vault.destroy(SECOND)
    with pytest.raises(DeniedError):
        data_key(here, BLOB)


def test_a_wrap_of_another_release_in_its_place_is_refused(here: Installation) -> None:
    keep(here)
    keep(here, LARGE)
    for release in (ONE, TWO):
        release_keys(here, release, [BLOB, Digest.of(LARGE)])

    here.blobs.add(BLOB, Wrap(FIRST, here.blobs.wraps(BLOB)[SECOND]))
    here.blobs.add(Digest.of(LARGE), Wrap(SECOND, here.blobs.wraps(BLOB)[SECOND]))

    for release, blob in ((ONE, BLOB), (TWO, Digest.of(LARGE))):
        with pytest.raises(VerificationError, match="for this blob"):
            release_keys(here, release, [blob])


def test_a_file_that_was_lost_and_brought_again_is_wrapped_again_for_the_release(
    here: Installation, world: World
) -> None:
    keep(here)
    release_keys(here, ONE, [BLOB])
    world.blobs.blobs.clear()
    with pytest.raises(UnavailableError, match="is not here"):
        release_keys(here, ONE, [BLOB])

    keep(here)

    assert release_keys(here, ONE, [BLOB]) == {BLOB: data_key(here, BLOB)}


def test_one_wrap_that_opens_is_enough_whatever_became_of_the_others(here: Installation) -> None:
    keep(here)
    release_keys(here, ONE, [BLOB])
    here.blobs.add(BLOB, Wrap(SECOND, b"junk"))
    here.vault.destroy(INGEST)

    assert is_kept(here, BLOB) and read(here) == SMALL


def test_files_that_were_swapped_in_the_store_do_not_open(here: Installation, world: World) -> None:
    other = Digest.of(LARGE)
    keep(here)
    keep(here, LARGE)
    files, held = world.blobs.blobs, world.blobs.held
    files[BLOB], files[other], held[BLOB], held[other] = files[other], files[BLOB], held[other], held[BLOB]

    with pytest.raises(VerificationError):
        read(here)
    held[BLOB], held[other] = held[other], held[BLOB]
    with pytest.raises(VerificationError):
        read(here)
