"""Does the directory hold only whole files that can be opened, whatever is killed, full, or put there by others?"""

import os
import signal
import stat
import subprocess
import sys

import pytest

from lockgate.core.wrap import Kek, Wrap
from lockgate.drivers.local_store import LocalStore
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.digest import Digest

CONTENT = Digest.of(b"plaintext")
INGEST, RELEASE = Kek("ingest-2026-11-21"), Kek.of_release(Digest.of(b"release"))
WRAP = Wrap(INGEST, b"wrap")


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "deep" / "blobs")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "deep" / "blobs"


def place(root):
    return root / CONTENT.hex[:2] / CONTENT.hex[2:4] / CONTENT.hex


def wraps(root):
    return place(root).with_name(f"{CONTENT.hex}.wraps")


def files(root):
    return sorted(path.name for path in root.rglob("*") if not path.is_dir() and path.name != "lock")


def put(store, *pieces, wrap=WRAP, instead=None):
    store.put(pieces or [b"content"], CONTENT, wrap, instead=instead or {})


def test_a_file_is_one_that_nobody_writes_in_folders_that_are_ours(store, root):
    put(store, b"con", b"tent")

    assert (place(root).read_bytes(), (wraps(root) / INGEST.label).read_bytes()) == (b"content", b"wrap")
    assert stat.S_IMODE(place(root).stat().st_mode) == 0o444
    assert stat.S_IMODE((wraps(root) / INGEST.label).stat().st_mode) == 0o400
    folders = (root, root / "growing", place(root).parent, place(root).parent.parent, wraps(root))
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_a_file_that_is_there_is_not_written_again(store, root):
    put(store)
    before = place(root).stat()

    put(store, b"other")

    assert place(root).stat() == before
    assert files(root) == sorted([CONTENT.hex, INGEST.label])


def test_nothing_is_left_of_a_file_that_was_refused(store, root):
    def refused():
        yield b"con"
        raise VerificationError("not what it claims")

    with pytest.raises(VerificationError):
        store.put(refused(), CONTENT, WRAP, instead={})

    assert files(root) == []


KILLED = """
import sys, time
from pathlib import Path
from lockgate.core.wrap import Kek, Wrap
from lockgate.drivers.local_store import LocalStore
from lockgate.formats.digest import Digest
def pieces():
    yield b"con"
    print("growing", flush=True)
    time.sleep(60)
LocalStore(Path(sys.argv[1])).put(pieces(), Digest.of(b"plaintext"), Wrap(Kek("ingest-2026-11-21"), b""), instead={})
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
    assert store.wraps(CONTENT) == {}


CRASHING = """
import os, signal, sys
from pathlib import Path
from lockgate.core.wrap import Kek, Wrap
from lockgate.drivers import local_store
from lockgate.formats.digest import Digest
left = int(sys.argv[2])
def counted(real):
    def call(*args, **more):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **more)
    return call
for name in ("fsync", "open", "rename", "unlink", "mkdir", "write"):
    setattr(os, name, counted(getattr(os, name)))
store = local_store.LocalStore(Path(sys.argv[1]))
digest = Digest.of(b"plaintext")
held = store.wraps(digest) if len(sys.argv) > 3 else {}
store.put([b"new"], digest, Wrap(Kek("ingest-2026-11-22"), b"of the new"), instead=held)
store.add(digest, Wrap(Kek.of_release(Digest.of(b"release")), b"of the release"))
print("done", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("replacing", [False, True], ids=["new", "in place of a dead one"])
def test_whenever_a_writer_is_killed_the_file_is_absent_or_opens(store, root, replacing):
    """Kill before every single call that changes the disk; afterwards the file and its wraps belong together."""
    seen = set()
    for step in range(120):
        subprocess.run(["rm", "-rf", str(root)], check=True)
        fresh = LocalStore(root)
        if replacing:
            fresh.put([b"old"], CONTENT, Wrap(INGEST, b"of the old"), instead={})
        command = [sys.executable, "-c", CRASHING, str(root), str(step), *(["again"] if replacing else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

        held, content = fresh.wraps(CONTENT), place(root).read_bytes() if place(root).exists() else b""
        found = {wrap.removeprefix(b"of the ") for kek, wrap in held.items() if kek.label.startswith("ingest")}
        assert found in ({content}, set()), (step, held, content)
        seen.add(content if found else b"")
        put(fresh, b"later", wrap=Wrap(INGEST, b"of the later"), instead=held)
        assert (place(root).read_bytes(), fresh.wraps(CONTENT)) == (b"later", {INGEST: b"of the later"})
        if done.stdout == "done\n":
            break

    assert done.stdout == "done\n" and seen == {b"", b"new"} | ({b"old"} if replacing else set())


FULL = """
import resource, sys
from pathlib import Path
from lockgate.core.wrap import Kek, Wrap
from lockgate.drivers.local_store import LocalStore
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest
store = LocalStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    store.put([bytes(3000), bytes(3000)], Digest.of(b"plaintext"), Wrap(Kek("ingest-2026-11-21"), b""), instead={})
except UnavailableError as e:
    print(e)
"""


def test_a_disk_that_takes_no_more_leaves_nothing(store, root):
    done = subprocess.run([sys.executable, "-c", FULL, str(root)], capture_output=True, text=True, check=True)

    assert done.stdout == "the blob could not be written: File too large\n"
    assert files(root) == []
    put(store, bytes(6000))
    assert len(place(root).read_bytes()) == 6000


def test_a_plain_file_of_before_there_was_encryption_is_not_there_and_is_replaced(store, root):
    place(root).parent.mkdir(parents=True)
    place(root).write_bytes(b"plaintext")

    assert store.wraps(CONTENT) == {}
    put(store)
    assert place(root).read_bytes() == b"content"


def test_a_link_is_no_file(store, root, tmp_path):
    put(store)
    (tmp_path / "elsewhere").write_bytes(b"content")
    place(root).unlink()
    place(root).symlink_to(tmp_path / "elsewhere")

    assert store.wraps(CONTENT) == {}
    with pytest.raises(VerificationError, match="is a link"):
        store.open(CONTENT)


def test_a_link_is_replaced_by_the_file_and_its_target_left_alone(store, root, tmp_path):
    put(store)
    (tmp_path / "elsewhere").write_bytes(b"keep")
    place(root).unlink()
    place(root).symlink_to(tmp_path / "elsewhere")

    put(store)

    assert not place(root).is_symlink()
    assert ((tmp_path / "elsewhere").read_bytes(), place(root).read_bytes()) == (b"keep", b"content")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_is_none(store, root, make):
    put(store)
    place(root).unlink()
    make(place(root))

    assert store.wraps(CONTENT) == {}
    with pytest.raises(VerificationError, match="is not a file"):
        store.open(CONTENT)


def test_a_wrap_that_is_a_link_or_has_no_label_closes_the_file(store, root, tmp_path):
    put(store)
    (wraps(root) / "release-x").write_bytes(b"wrap")
    with pytest.raises(VerificationError, match=r"not the label|not a SHA-256"):
        store.wraps(CONTENT)

    (wraps(root) / "release-x").unlink()
    (wraps(root) / RELEASE.label).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError, match="cannot be read"):
        store.wraps(CONTENT)


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "blobs").write_bytes(b"in the way")

    with pytest.raises(UnavailableError):
        LocalStore(tmp_path / "blobs")


def test_a_file_in_the_way_is_unavailable_and_leaves_nothing(store, root):
    (root / CONTENT.hex[:2]).write_bytes(b"in the way")

    with pytest.raises(UnavailableError):
        put(store)

    assert files(root) == [CONTENT.hex[:2]]


def test_a_store_that_is_gone_as_a_whole_does_not_answer_rather_than_to_lack_a_file(tmp_path):
    store = LocalStore(tmp_path / "blobs")
    assert store.wraps(Digest.of(b"never")) == {}

    (tmp_path / "blobs").rename(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError, match="is not there"):
        store.wraps(Digest.of(b"never"))
    (tmp_path / "blobs").mkdir()  # as a mount point is without its mount
    with pytest.raises(UnavailableError, match="is not there"):
        store.wraps(Digest.of(b"never"))
