"""Does the directory hold only whole blobs, whatever is killed, full, or put there by somebody else?"""

import os
import signal
import stat
import subprocess
import sys

import pytest

from lockgate.drivers.local_store import LocalStore
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.digest import Digest

CONTENT = Digest.of(b"content")


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "deep" / "blobs")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "deep" / "blobs"


def place(root):
    return root / CONTENT.hex[:2] / CONTENT.hex[2:4] / CONTENT.hex


def files(root):
    return sorted(path.name for path in root.rglob("*") if not path.is_dir())


def test_a_blob_is_a_file_that_nobody_writes_in_folders_that_are_ours(store, root):
    store.put([b"con", b"tent"], CONTENT)

    assert place(root).read_bytes() == b"content"
    assert stat.S_IMODE(place(root).stat().st_mode) == 0o444
    folders = (root, root / "growing", place(root).parent, place(root).parent.parent)
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_a_blob_that_is_there_is_not_written_again(store, root):
    store.put([b"content"], CONTENT)
    before = place(root).stat()

    store.put([b"content"], CONTENT)
    with pytest.raises(VerificationError):
        store.put([b"other"], CONTENT)

    assert place(root).stat() == before
    assert files(root) == [CONTENT.hex]


def test_nothing_is_left_of_a_blob_that_was_refused(store, root):
    with pytest.raises(VerificationError):
        store.put([b"other"], CONTENT)

    assert files(root) == []


KILLED = """
import sys, time
from pathlib import Path
from lockgate.drivers.local_store import LocalStore
from lockgate.formats.digest import Digest
def pieces():
    yield b"con"
    print("growing", flush=True)
    time.sleep(60)
LocalStore(Path(sys.argv[1])).put(pieces(), Digest.of(b"content"))
"""


def test_what_a_killed_writer_left_is_swept_but_not_what_a_living_one_writes(store, root):
    writer = subprocess.Popen([sys.executable, "-c", KILLED, str(root)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"growing\n"
    (growing,) = files(root)

    LocalStore(root)
    assert files(root) == [growing]
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    LocalStore(root)

    assert files(root) == []
    assert not store.has(CONTENT)


FULL = """
import resource, sys
from pathlib import Path
from lockgate.drivers.local_store import LocalStore
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest
store = LocalStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    store.put([bytes(3000), bytes(3000)], Digest.of(bytes(6000)))
except UnavailableError as e:
    print(e)
"""


def test_a_disk_that_takes_no_more_leaves_nothing(store, root):
    done = subprocess.run([sys.executable, "-c", FULL, str(root)], capture_output=True, text=True, check=True)

    assert done.stdout == "the blob could not be written: File too large\n"
    assert files(root) == []
    assert store.put([bytes(6000)], Digest.of(bytes(6000))) == 6000


def test_a_link_is_no_blob(store, root, tmp_path):
    store.put([b"content"], CONTENT)
    (tmp_path / "elsewhere").write_bytes(b"content")
    place(root).unlink()
    place(root).symlink_to(tmp_path / "elsewhere")

    assert not store.has(CONTENT)
    with pytest.raises(VerificationError, match="is a link"):
        store.open(CONTENT)


def test_a_link_is_replaced_by_the_blob_and_its_target_left_alone(store, root, tmp_path):
    store.put([b"content"], CONTENT)
    (tmp_path / "elsewhere").write_bytes(b"keep")
    place(root).unlink()
    place(root).symlink_to(tmp_path / "elsewhere")

    store.put([b"content"], CONTENT)

    assert not place(root).is_symlink()
    assert ((tmp_path / "elsewhere").read_bytes(), place(root).read_bytes()) == (b"keep", b"content")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_is_no_blob(store, root, make):
    store.put([b"content"], CONTENT)
    place(root).unlink()
    make(place(root))

    assert not store.has(CONTENT)
    with pytest.raises(VerificationError, match="is not a file"):
        store.open(CONTENT)


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "blobs").write_bytes(b"in the way")

    with pytest.raises(UnavailableError):
        LocalStore(tmp_path / "blobs")


def test_a_file_in_the_way_is_unavailable_and_leaves_nothing(store, root):
    (root / CONTENT.hex[:2]).write_bytes(b"in the way")

    with pytest.raises(UnavailableError):
        store.put([b"content"], CONTENT)

    assert files(root) == [CONTENT.hex[:2]]
