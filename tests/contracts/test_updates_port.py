"""Does whoever keeps the files for hosts keep the promises of the port `Updates`?"""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from lockgate.core.metadata import LIFE, TIMESTAMP, write_snapshot, write_timestamp
from lockgate.core.revocation import Revocations
from lockgate.drivers.memory import MemoryUpdates
from lockgate.drivers.tuf_folder import TufFolder
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.names import Name
from tests.core.test_revocation import denied, of_key
from tests.world import key, policy, trust

BEGUN = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOTHING = Revocations(Name("prod"), ())


@pytest.fixture(params=["memory", "folder"])
def updates(request, tmp_path):
    return MemoryUpdates() if request.param == "memory" else TufFolder(tmp_path / "tuf")


def state(revoked=NOTHING, at=BEGUN):
    snapshot = write_snapshot(trust(), policy(), b"targets", revoked, key("prod-updates"))
    return snapshot.files, write_timestamp(snapshot, at, LIFE, key("prod-updates"))


def test_what_was_published_can_be_read(updates):
    files, timestamp = state()
    assert updates.read(TIMESTAMP) is None

    assert updates.publish(files, timestamp)

    assert {place: updates.read(place) for place in files} == files
    assert updates.read(TIMESTAMP) == timestamp


def test_the_same_and_anything_older_change_nothing(updates):
    newer = state(denied(of_key("bob")))
    updates.publish(*newer)

    for older in (newer, state(), state(at=BEGUN + timedelta(days=300))):
        assert not updates.publish(*older)

    assert updates.read(TIMESTAMP) == newer[1]


def test_the_same_content_in_a_later_half_life_is_newer(updates):
    updates.publish(*state())

    assert updates.publish(*state(at=BEGUN + LIFE / 2))


def test_a_file_never_changes(updates):
    files, timestamp = state()
    updates.publish(files, timestamp)
    later = {**state(denied(of_key("bob")))[0], next(iter(files)): b"other"}

    with pytest.raises(VerificationError, match="other content"):
        updates.publish(later, state(denied(of_key("bob")))[1])

    assert updates.read(TIMESTAMP) == timestamp


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "keys/vsa.pem", "targets/../../x", ""])
def test_nothing_else_is_read_or_written(updates, place):
    with pytest.raises(VerificationError):
        updates.read(place)
    with pytest.raises(VerificationError):
        updates.publish({place: b"x"}, state()[1])
    assert updates.read(TIMESTAMP) is None


def test_of_many_at_once_the_newest_is_last(updates):
    states = [state(denied(*(of_key(f"k{n}", n) for n in range(size)))) for size in range(12)]
    threads = [threading.Thread(target=updates.publish, args=one) for one in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert updates.read(TIMESTAMP) == states[-1][1]
    assert all(updates.read(place) == content for place, content in states[-1][0].items())


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "tuf").write_text("a file")

    with pytest.raises(UnavailableError, match="cannot write"):
        TufFolder(tmp_path / "tuf").publish(*state())


def test_leftovers_of_a_crash_are_overwritten(tmp_path):
    files, timestamp = state()
    (tmp_path / "tuf" / "targets").mkdir(parents=True)
    for place in files:
        (tmp_path / "tuf" / f"{place}.new").write_bytes(b"half")

    TufFolder(tmp_path / "tuf").publish(files, timestamp)

    assert not list((tmp_path / "tuf").rglob("*.new"))
    assert {place: TufFolder(tmp_path / "tuf").read(place) for place in files} == files
