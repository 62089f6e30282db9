"""What does encryption cost, next to a store and a load without it?

    ingest   receive, hash, encrypt, write, fsync      beside   receive, hash, write, fsync
    load     read, decrypt, hash                       beside   read, hash

The same bytes, in memory (/dev/shm where there is one), in turns. Google Tink encrypts and decrypts the same file as a
peer. Judged by CPU seconds, which neighbours disturb least; that hashing and encrypting overlap shows on the clock
alone, beside it. LOCKGATE_BENCH_BYTES sets another size than 1 GB.
"""

import hashlib
import json
import os
import resource
import secrets
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lockgate.app.keep_blob import keep_blob
from lockgate.app.open_blob import data_key, plaintext
from lockgate.drivers.local_store import LocalStore
from lockgate.drivers.local_vault import LocalVault
from lockgate.formats.digest import Digest
from lockgate.formats.oms import CHUNK, FileDigest
from lockgate.formats.segments import Decrypting
from lockgate.loader.verified_read import BUFFER, copy_verified
from tests.stock import tink_python
from tests.world import NOW, World

COMMAND = "python -m bench store"
LEAST = 0.6
ROUNDS = 5
PIECE = 1 << 20
MEMORY = Path("/dev/shm")
TINKERING = Path(__file__).parents[1] / "tests" / "tinkering.py"


@dataclass(frozen=True)
class Cost:
    """What an act used: seconds on processors, and on the clock."""

    cpu: float
    wall: float


def rows() -> list[dict[str, object]]:
    """Measure; each row says what was found, what it must be, and how to find it again."""
    size = int(os.environ.get("LOCKGATE_BENCH_BYTES", "1000000000"))
    folder = Path(tempfile.mkdtemp(prefix="lockgate-bench-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        bench = Bench(folder, size)
        return [*bench.ingest(), *bench.load()]
    finally:
        shutil.rmtree(folder)


class Bench:
    """One file, plain and encrypted."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size, self.plain = folder, size, folder / "plain"
        self.digest, self.file = _write(self.plain, size)
        self.installation = replace(
            World().installation, blobs=LocalStore(folder / "blobs"), vault=LocalVault(folder / "vault")
        )
        self.tink = Tink(folder)

    def ingest(self) -> list[dict[str, object]]:
        """Compare both ways into a store."""
        encrypted, copied = _measured(self._encrypt, self._copy, before=self._forget)
        return [
            _row(f"ingest {self.size / 1e9:.2f} GB, encrypted", encrypted, copied, self.size, "plain copy and SHA-256"),
            self._peer("encrypt", encrypted, "without hashing what it reads"),
        ]

    def load(self) -> list[dict[str, object]]:
        """Compare both ways out of it."""
        self._forget()
        self._encrypt()
        buffer = memoryview(bytearray(BUFFER))
        key = data_key(self.installation, self.digest)
        decrypted, hashed, checked, compared = _measured(
            lambda: self._decrypt(buffer, key), lambda: self._hash(buffer), lambda: self._check(key), self._hash_whole
        )
        what = f"load {self.size / 1e9:.2f} GB, decrypted and verified"
        return [
            _row(what, decrypted, hashed, self.size, "plain read and SHA-256"),
            _row(f"the server reads it, {what[5:]}", checked, compared, self.size, "plain read and SHA-256"),
            self._peer("decrypt", decrypted, "without hashing what it gives"),
        ]

    def _peer(self, do: str, ours: Cost, but: str) -> dict[str, object]:
        found = self.tink.do(do)
        figure = "not measured: no Tink here"
        if found:
            faster = found.cpu / ours.cpu
            figure = (
                f"{_rate(self.size, found.wall)}, {found.cpu:.2f} s CPU {but}; ours takes {1 / faster:.2f} of its CPU"
            )
        return {"what": f"Tink {do}s the same", "figure": figure, "must": "reported", "ok": True, "command": COMMAND}

    def _forget(self) -> None:
        for name in ("blobs", "copy"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "copied").unlink(missing_ok=True)
        self.installation = replace(self.installation, blobs=LocalStore(self.folder / "blobs"))

    def _encrypt(self) -> None:
        keep_blob(self.installation, _pieces(self.plain), self.digest, NOW)

    def _copy(self) -> None:
        """Do what the store did when it kept plaintext."""
        whole, target = hashlib.sha256(), os.open(self.folder / "copied", os.O_WRONLY | os.O_CREAT, 0o600)
        for piece in _pieces(self.plain):
            whole.update(piece)
            os.write(target, piece)
        os.fsync(target)
        os.close(target)
        assert whole.hexdigest() == self.digest.hex

    def _decrypt(self, buffer: memoryview, key: bytes) -> None:
        """Do what a host does, with the file at hand: from the beginning, each chunk compared."""
        with self.installation.blobs.open(self.digest) as stream:
            reader = Decrypting(stream.readinto, key, self.digest)  # type: ignore[attr-defined]
            copy_verified(reader.readinto, self.file, _nowhere, component="weights", buffer=buffer)

    def _hash(self, buffer: memoryview) -> None:
        with self.plain.open("rb", buffering=0) as stream:
            copy_verified(stream.readinto, self.file, _nowhere, component="weights", buffer=buffer)

    def _check(self, key: bytes) -> None:
        """Do what the server does: random access, segments in parallel, the hash beside them."""
        whole = hashlib.sha256()
        with plaintext(self.installation.blobs, self.digest, key) as pieces:
            for piece in pieces:
                whole.update(piece)
        assert whole.hexdigest() == self.digest.hex

    def _hash_whole(self) -> None:
        whole = hashlib.sha256()
        for piece in _pieces(self.plain):
            whole.update(piece)


class Tink:
    """The real one, in an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = secrets.token_bytes(32).hex()
        try:
            self.python: Path | None = tink_python()
        except pytest.skip.Exception:
            self.python = None

    def do(self, do: str) -> Cost | None:
        """Let it encrypt `plain` to `tinked`, or decrypt that; give what it cost, without its start."""
        if self.python is None:
            return None
        ways = {"encrypt": ("plain", "tinked"), "decrypt": ("tinked", "untinked")}[do]
        where = {name: str(self.folder / way) for name, way in zip(("from", "to"), ways, strict=True)}
        order = json.dumps({"do": do, "key": self.key, "aad": "", **where})
        done = subprocess.run([self.python, TINKERING], input=order + "\n", capture_output=True, text=True, check=True)
        told = json.loads(done.stdout)
        return Cost(told["cpu"], told["wall"]) if told["ok"] else None


def _write(path: Path, size: int) -> tuple[Digest, FileDigest]:
    """Write a file that does not compress; measure it whole and in chunks."""
    whole, chunks, block = hashlib.sha256(), [], os.urandom(PIECE)
    with path.open("wb") as file:
        for at in range(0, size, PIECE):
            piece = (at.to_bytes(8) + block[8:])[: size - at]
            if at % CHUNK == 0:
                chunks.append(hashlib.sha256())
            for digest in (whole, chunks[-1]):
                digest.update(piece)
            file.write(piece)
    digest = Digest(whole.hexdigest())
    return digest, FileDigest("model", digest, size, CHUNK, tuple(chunk.digest() for chunk in chunks))


def _nowhere(_piece: memoryview) -> None:
    """Write nothing: what a host does with a piece costs the same in both cases."""


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as stream:
        while piece := stream.read(PIECE):
            yield piece


def _measured(*acts: Callable[[], object], before: Callable[[], object] = lambda: None) -> list[Cost]:
    """Do all of them in turns; return for each the median of the CPU seconds, and the quickest of the wall clock.

    The quickest, because others work on the machine: what disturbs a turn only makes it longer.
    """
    costs: list[list[Cost]] = [[] for _ in acts]
    for _ in range(ROUNDS + 1):
        for act, cost in zip(acts, costs, strict=True):
            before()
            cpu, wall = _cpu(), time.perf_counter()
            act()
            cost.append(Cost(_cpu() - cpu, time.perf_counter() - wall))
    return [Cost(statistics.median(one.cpu for one in cost[1:]), min(one.wall for one in cost[1:])) for cost in costs]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _rate(size: int, seconds: float) -> str:
    return f"{size / 1e9 / seconds:.2f} GB/s"


def _row(what: str, ours: Cost, theirs: Cost, size: int, than: str) -> dict[str, object]:
    ratio = theirs.cpu / ours.cpu
    return {
        "what": what,
        "figure": f"{ratio:.2f} of {than} ({_rate(size, ours.cpu)} beside {_rate(size, theirs.cpu)} a core); "
        f"on the clock {theirs.wall / ours.wall:.2f} ({_rate(size, ours.wall)} beside {_rate(size, theirs.wall)})",
        "must": f"at least {LEAST}",
        "ok": ratio >= LEAST,
        "command": COMMAND,
    }


if __name__ == "__main__":
    for row in rows():
        print(f"{'ok  ' if row['ok'] else 'MISS'} {row['what']}: {row['figure']} {row['must']}")
