"""Does the plaintext of a release ever touch a disk of the server, from upload to load? Every write is looked at."""

import os
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from lockgate.cli.exporting import open_keys, write_bundle
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats import oms
from lockgate.formats.digest import Digest
from lockgate.loader.connection import ServerSource
from lockgate.loader.opening import open_release
from tests.live.test_gate_over_http import AT, Site, site
from tests.world import PROD

__all__ = ["site"]

WEIGHTS = os.urandom(5 << 19)
MARKS = [WEIGHTS[at : at + 32] for at in range(0, len(WEIGHTS), 4096)]
WRITES = "write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendfile,copy_file_range,splice,vmsplice"


class Watched:
    """What a process writes, wherever to, while it is watched."""

    def __init__(self, pid: int, trace: Path) -> None:
        self.trace = trace
        options = ["-f", "-qq", "-xx", "-s", str(1 << 22), "-e", f"trace={WRITES}", "-o", str(trace), "-p", str(pid)]
        self.strace = subprocess.Popen(["strace", *options])
        time.sleep(1)
        assert self.strace.poll() is None, "strace may not look at the server: it needs CAP_SYS_PTRACE"

    def end(self) -> bytes:
        self.strace.send_signal(signal.SIGINT)
        self.strace.wait(30)
        return self.trace.read_bytes()


def hexed(content: bytes) -> bytes:
    """Write bytes as strace -xx does."""
    return "".join(f"\\x{byte:02x}" for byte in content).encode()


def below(folder: Path, marks: list[bytes]) -> list[Path]:
    """Find the files that hold any of the marks."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and any(mark in path.read_bytes() for mark in marks)
    ]


def load(site: Site) -> bytes:
    host, connection = site.host()
    opened = open_release(host, PROD, connection=connection, mounts=None)
    try:
        return Path(opened.files.paths["weights/model.onnx"]).read_bytes()
    finally:
        opened.files.close()


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace: apt-get install --yes strace")
def test_no_write_of_the_server_and_no_file_of_anybody_holds_plaintext(site: Site) -> None:
    watched = Watched(site.server.pid, site.folder / "trace")

    first = site.serve("1.0.0", WEIGHTS)
    second = site.serve("1.1.0", WEIGHTS[::-1])
    assert load(site) == WEIGHTS[::-1]
    open_keys(site.people["alice"], first.manifest.tag, first.digest)
    site.act("dave", f"{AT}/rollback", "endpoint.roll-back", PROD, before=second.digest, after=first.digest)
    assert load(site) == WEIGHTS

    written = watched.end()
    stored = next(path for path in (site.folder / "blobs").rglob(Digest.of(WEIGHTS).hex) if path.is_file())
    assert hexed(stored.read_bytes()[5000:5064]) in written, "the trace does not show what was stored"
    assert not [mark for mark in MARKS if hexed(mark) in written]
    assert below(site.folder, [stored.read_bytes()[5000:5032]]) == [stored]
    assert below(site.folder, MARKS[:40]) == []


def test_a_file_that_is_looked_for_is_found(site: Site) -> None:
    (site.folder / "blobs" / "growing" / "left").write_bytes(b"x" + WEIGHTS[4000:9000])

    assert [path.name for path in below(site.folder, MARKS[:40])] == ["left"]


@pytest.mark.parametrize("spoil", ["flipped", "cut at a segment", "of another file"])
def test_a_store_that_was_tampered_with_loads_nothing(site: Site, spoil: str) -> None:
    site.serve("1.0.0", WEIGHTS)
    stored, other = (
        next(path for path in (site.folder / "blobs").rglob(Digest.of(content).hex) if path.is_file())
        for content in (WEIGHTS, b"{}")
    )
    content = bytearray(stored.read_bytes())
    match spoil:
        case "flipped":
            content[1 << 20] ^= 1
        case "cut at a segment":
            del content[1 << 20 :]
        case _:
            content = bytearray(other.read_bytes())
    stored.chmod(0o600)
    stored.write_bytes(content)

    with pytest.raises(VerificationError):
        load(site)


def test_a_store_without_its_vault_loads_nothing(site: Site) -> None:
    site.serve("1.0.0", WEIGHTS)
    for path in (site.folder / "vault").glob("*-*"):
        path.unlink()

    with pytest.raises(UnavailableError, match="but no keys to read its files with"):
        load(site)


def test_an_export_holds_the_release_and_the_log_says_who_took_it(site: Site) -> None:
    release = site.register("1.0.0", WEIGHTS)
    tag, alice = release.manifest.tag, site.people["alice"]
    files = [
        file
        for bundle in site.world.submission("1.0.0", WEIGHTS)[0].bundles.values()
        for file in oms.parse(bundle.encode()).files
    ]
    told: list[int] = []

    source = ServerSource(alice, open_keys(alice, tag, release.digest))
    write_bundle(site.folder / "bundle", b"{}", files, source, told.append)

    with zipfile.ZipFile(site.folder / "bundle") as bundle:
        assert bundle.read(f"sha256/{Digest.of(WEIGHTS).hex}") == WEIGHTS
    assert sum(told) == sum(file.size or 0 for file in files)
    last = site.people["ann"].get("/api/v1/log/entries", start=3)["items"]
    assert "release.keys-opened/v1" in str(last)
    with pytest.raises(DeniedError, match="has no right"):
        open_keys(site.people["bob"], tag, release.digest)
