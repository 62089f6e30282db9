"""Does a directory hold exactly what was sealed? One good directory, and every way to spoil it."""

import hashlib
import os
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lockgate.core.component import open_component
from lockgate.core.release import Trusted
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import oms
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PrivateKey
from lockgate.formats.oms import CHUNK, FileDigest
from lockgate.loader.directory import sign_directory, verify_directory
from lockgate.loader.reading import at_once
from lockgate.loader.tree import measure, verify_tree, walk

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SIGNER = PrivateKey.from_seed(bytes(32))
MINE = Trusted((SIGNER.public,), ())
BIG = 2 * CHUNK + 4096


@pytest.fixture
def model(tmp_path):
    """A small model, sealed at model.sig."""
    root = tmp_path / "model"
    (root / "sub").mkdir(parents=True)
    (root / "config.json").write_text("{}")
    (root / "empty").touch()
    (root / "sub" / "weights.gguf").write_bytes(b"weights" * 100)
    sign_directory(root, SIGNER, root / "model.sig")
    return root


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A sparse file of three chunks, and what it hashes to in one thread."""
    root = tmp_path_factory.mktemp("big")
    path = root / "weights.safetensors"
    with path.open("wb") as file:
        file.truncate(BIG)
        for offset in (0, CHUNK + 5, BIG - 3):
            file.seek(offset)
            file.write(b"abc")
    content = path.read_bytes()
    chunks = tuple(hashlib.sha256(content[at : at + CHUNK]).digest() for at in range(0, BIG, CHUNK))
    return root, FileDigest(path.name, Digest.of(content), BIG, CHUNK, chunks)


def check(root, *, signature="model.sig", **options):
    return verify_directory(root, root / signature, MINE, at=NOW, **options)


def component_of(*files):
    return open_component(oms.seal(files, SIGNER), [SIGNER.public], at=NOW)


def test_a_sealed_directory_verifies(model):
    component = check(model)

    assert [(file.name, file.size) for file in component.files] == [("config.json", 2), ("empty", 0),
                                                                    ("sub/weights.gguf", 700)]  # fmt: skip
    assert component == check(model, deep=True)


def test_an_empty_folder_makes_no_difference(model):
    (model / "nothing" / "here").mkdir(parents=True)

    check(model)


def test_a_seal_may_lie_elsewhere(model, tmp_path):
    (model / "model.sig").unlink()
    sign_directory(model, SIGNER, tmp_path / "elsewhere.sig")

    assert verify_directory(model, tmp_path / "elsewhere.sig", MINE, at=NOW).signature_name is None


def test_signing_again_replaces_the_seal_and_leaves_nothing_else(model):
    before = sorted(path.name for path in model.iterdir())

    bundle = sign_directory(model, SIGNER, model / "model.sig", subject="magika")

    assert sorted(path.name for path in model.iterdir()) == before
    assert (bundle.subject, check(model).dir_hash) == ("magika", bundle.dir_hash)


def write(name, content):
    return lambda root: (root / name).write_bytes(content)


def remove(name):
    return lambda root: (root / name).unlink()


def rename(old, new):
    return lambda root: (root / old).rename(root / new)


def swapped(root):
    rename("config.json", "x")(root)
    rename("sub/weights.gguf", "config.json")(root)
    rename("x", "sub/weights.gguf")(root)


def symbolic(root):
    rename("config.json", "../config.json")(root)
    (root / "config.json").symlink_to("../config.json")


def hard(root):
    os.link(root / "config.json", root.parent / "config.json")


def folder_link(root):
    rename("sub", "../sub")(root)
    (root / "sub").symlink_to("../sub")


def pipe(root):
    os.mkfifo(root / "pipe")


def socket_file(root):
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(root, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)


def odd_name(root):
    (root / os.fsdecode(b"caf\xe9")).touch()


def git_folder(root):
    (root / ".git").mkdir()
    write(".git/hook", b"")(root)


def linked_seal(root):
    rename("model.sig", "../model.sig")(root)
    (root / "model.sig").symlink_to("../model.sig")


NEAR_MISSES = {
    "a flipped bit": (write("sub/weights.gguf", b"weighty" + b"weights" * 99), "sub/weights.gguf is not what was"),
    "a longer file": (write("config.json", b"{ }"), "config.json has 3 bytes, not 2"),
    "a file emptied": (write("config.json", b""), "config.json has 0 bytes, not 2"),
    "an empty file filled": (write("empty", b"x"), "empty has 1 bytes, not 0"),
    "a file missing": (remove("config.json"), "missing: config.json"),
    "an extra pickle": (write("evil.pkl", b"cos\nsystem\n"), r"not sealed: evil\.pkl"),
    "an extra file below": (write("sub/evil.py", b""), r"not sealed: sub/evil\.py"),
    "a gitattributes added": (write(".gitattributes", b""), r"not sealed: \.gitattributes"),
    "a git folder added": (git_folder, "not sealed: .git/hook"),
    "a file renamed": (rename("config.json", "modeling.py"), r"missing: config.json; not sealed: modeling\.py"),
    "two files swapped": (swapped, "config.json has 700 bytes, not 2"),
    "a symbolic link": (symbolic, "config.json is not a plain file but a symbolic link"),
    "a linked folder": (folder_link, "sub is not a plain file but a symbolic link"),
    "a linked seal": (linked_seal, "model.sig is not a plain file but a symbolic link"),
    "a hard link": (hard, "config.json is one of 2 names of one file"),
    "a pipe": (pipe, "pipe is not a plain file but a pipe"),
    "a socket": (socket_file, "socket is not a plain file but a socket"),
    "a name in Latin-1": (odd_name, "file name"),
    "a name with a newline": (write("a\nb", b""), "file name holds a control"),
    "a folder for a file": (lambda root: remove("empty")(root) or (root / "empty").mkdir(), "missing: empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", NEAR_MISSES)
def test_a_directory_with_one_thing_spoilt_is_refused(model, case):
    spoil, why = NEAR_MISSES[case]
    spoil(model)

    with pytest.raises(VerificationError, match=why):
        check(model)


def test_a_seal_moved_within_the_directory_is_refused(model):
    rename("model.sig", "config.yaml")(model)

    with pytest.raises(VerificationError, match=r"lies at config\.yaml, but its place is model\.sig"):
        check(model, signature="config.yaml")


def test_a_seal_made_for_elsewhere_is_refused_inside(model, tmp_path):
    (model / "model.sig").unlink()
    sign_directory(model, SIGNER, tmp_path / "elsewhere.sig")
    rename("../elsewhere.sig", "model.sig")(model)

    with pytest.raises(VerificationError, match="its place is outside the directory"):
        check(model)


def test_a_second_seal_inside_is_a_file_like_any_other(model, tmp_path):
    (tmp_path / "copy.sig").write_bytes((model / "model.sig").read_bytes())

    with pytest.raises(VerificationError, match=r"not sealed: model\.sig"):
        verify_directory(model, tmp_path / "copy.sig", MINE, at=NOW)


def test_what_cannot_be_read_is_not_refused_but_unavailable(model, tmp_path):
    for root, signature in ((tmp_path / "none", model / "model.sig"), (model, tmp_path / "none.sig")):
        with pytest.raises(UnavailableError, match="cannot read"):
            verify_directory(root, signature, MINE, at=NOW)
    with pytest.raises(UnavailableError, match="cannot write"):
        sign_directory(model, SIGNER, tmp_path / "no" / "folder.sig")


def test_a_directory_of_nothing_is_not_sealed(tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(VerificationError, match="at least one"):
        sign_directory(tmp_path / "empty", SIGNER, tmp_path / "x.sig")
    assert not (tmp_path / "x.sig").exists()


def test_a_walk_tells_names_and_sizes_in_order(model):
    (model / "model.sig").unlink()

    assert walk(model) == [("config.json", 2), ("empty", 0), ("sub/weights.gguf", 700)]


def test_a_big_file_is_measured_as_one_thread_would(big):
    root, expected = big
    told: list[int] = []

    assert measure(root, progress=told.append) == (expected,)
    assert sum(told) == BIG


@pytest.mark.parametrize("deep", [False, True])
def test_a_big_file_verifies_and_every_byte_is_told(big, deep):
    root, expected = big
    told: list[int] = []

    verify_tree(root, component_of(expected), deep=deep, progress=told.append)

    assert sum(told) == BIG


@pytest.mark.parametrize("deep", [False, True])
def test_a_big_file_of_another_tool_s_bundle_is_hashed_whole(big, deep):
    root, expected = big
    other = FileDigest(expected.name, expected.sha256)

    verify_tree(root, component_of(other), deep=deep)
    with pytest.raises(VerificationError, match=f"differs at byte 0 or in the {BIG} from there"):
        verify_tree(root, component_of(FileDigest(expected.name, Digest.of(b"other"))), deep=deep)


@pytest.mark.parametrize("deep", [False, True])
def test_the_first_difference_is_named(big, deep):
    root, expected = big
    other = b"\0" * 32
    false = FileDigest(expected.name, expected.sha256, BIG, CHUNK, (expected.chunks[0], other, other))

    with pytest.raises(VerificationError, match=f"differs at byte {CHUNK} or in the {CHUNK} from there"):
        verify_tree(root, component_of(false), deep=deep)


def test_a_signer_whose_digests_disagree_is_found_out_by_a_deep_check(big):
    root, expected = big
    false = component_of(FileDigest(expected.name, Digest.of(b"other"), BIG, CHUNK, expected.chunks))

    verify_tree(root, false)
    with pytest.raises(VerificationError, match="a false seal"):
        verify_tree(root, false, deep=True)


def once(act):
    """Act when the first bytes have been hashed."""
    done = threading.Event()

    def tell(_count):
        if not done.is_set():
            done.set()
            act()

    return tell


def overwrite(path):
    with path.open("r+b") as file:
        file.write(b"X")


def replace_by_copy(path):
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


def restamped(path):
    seen = path.stat()
    overwrite(path)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


MEANWHILE = {
    "overwritten": overwrite,
    "overwritten and stamped as before": restamped,
    "cut": lambda path: os.truncate(path, 5),
    "replaced": replace_by_copy,
    "removed": lambda path: path.unlink(),
    "given another name": lambda path: os.link(path, path.with_name("other")),
    "joined by another": lambda path: path.with_name("new").touch(),
}


@pytest.mark.parametrize("case", MEANWHILE)
@pytest.mark.parametrize("verifying", [True, False])
def test_a_file_altered_while_it_is_read_is_refused(tmp_path, case, verifying):
    path = tmp_path / "weights"
    path.write_bytes(bytes(8 << 20))
    component = component_of(*measure(tmp_path))
    meanwhile = once(lambda: MEANWHILE[case](path))

    with pytest.raises(VerificationError, match="changed while it was read"):
        if verifying:
            verify_tree(tmp_path, component, progress=meanwhile)
        else:
            measure(tmp_path, progress=meanwhile)


def made_a_pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("meanwhile", [made_a_pipe, Path.unlink], ids=["made a pipe", "removed"])
def test_a_file_altered_before_its_turn_is_refused(tmp_path, meanwhile):
    for number in range((os.cpu_count() or 2) + 3):  # more than threads, so that the last is still to be opened
        (tmp_path / f"{number:03}").write_bytes(b"x")

    with pytest.raises(VerificationError, match=f"changed while it was read: {number:03}"):
        measure(tmp_path, progress=once(lambda: meanwhile(tmp_path / f"{number:03}")))


def test_what_goes_wrong_in_a_thread_is_raised_here(model):
    def broken(_count):
        raise RuntimeError("the bar is broken")

    with pytest.raises(RuntimeError, match="the bar is broken"):
        check(model, progress=broken)


def test_an_interrupt_stops_every_thread(model):
    readings = []

    def interrupted(_piece, reading):
        readings.append(reading)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        at_once(iter("abc"), interrupted, None)
    with (model / "config.json").open("rb") as file, pytest.raises(UnavailableError, match="stopped before"):
        next(readings[0].blocks(file.fileno(), "config.json", 0, 2))


def test_a_pipe_is_no_seal(model):
    (model / "model.sig").unlink()
    os.mkfifo(model / "model.sig")

    with pytest.raises(VerificationError, match=r"model\.sig is not a plain file$"):
        check(model)


def test_no_file_stays_open(model):
    before = len(list(Path("/proc/self/fd").iterdir()))

    check(model, deep=True)
    write("sub/weights.gguf", b"w" * 700)(model)
    with pytest.raises(VerificationError):
        check(model)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
