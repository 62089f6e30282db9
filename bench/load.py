"""What does it cost to verify a model while it is loaded, next to verifying it first and loading it then?

CPU seconds from the page cache, in turns, into the same buffer. Stock verification is the command `model_signing verify
key`; what it costs without its start and imports is said beside it. LOCKGATE_BENCH_BYTES sets another size than 2 GB.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lockgate.errors import UnavailableError
from lockgate.formats import oms
from lockgate.formats.keys import PrivateKey
from lockgate.formats.oms import CHUNK, FileDigest
from lockgate.loader.directory import sign_directory
from lockgate.loader.hand_over import hand_over
from lockgate.loader.namespace import enter_private_mounts
from lockgate.loader.source import DirectorySource
from lockgate.loader.verified_read import read_verified, reusable_buffer
from tests.stock import PROGRAM

COMMAND = "python -m bench.load"
HERE = Path(__file__).parents[1]
MOST = 0.85
ROUNDS = 3
SHARDS = 4
COMPONENT = "weights"
STOCK = """
import pathlib, sys, time
from model_signing import verifying
key, signature, model = map(pathlib.Path, sys.argv[1:])
before = time.process_time()
verifying.Config().use_elliptic_key_verifier(public_key=key).verify(model, signature)
print(time.process_time() - before)
"""


def rows() -> list[dict[str, object]]:
    """Measure; each row says what was found, what it must be, and how to find it again."""
    size = int(os.environ.get("LOCKGATE_BENCH_BYTES", "2000000000"))
    folder = Path(tempfile.mkdtemp(prefix="lockgate-bench-"))
    try:
        files = _lay_out(folder, size)
        return [_against_stock(folder, files, size), *(_copying(folder, size, target) for target in ("tmpfs", "memfd"))]
    finally:
        shutil.rmtree(folder)


def _lay_out(folder: Path, size: int) -> tuple[FileDigest, ...]:
    """Write a model and seal it."""
    block, each = os.urandom(1 << 20), size // SHARDS
    (folder / COMPONENT).mkdir()
    for number in range(SHARDS):
        with (folder / COMPONENT / f"model-{number}.safetensors").open("wb") as file:
            for at in range(0, each, len(block)):
                file.write((number.to_bytes(4) + at.to_bytes(8) + block[12:])[: each - at])
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signer = PrivateKey.from_pem(pem)
    (folder / "key.pem").write_bytes(signer.public.pem)
    return sign_directory(folder / COMPONENT, signer, folder / f"{COMPONENT}.sig").files


def _against_stock(folder: Path, files: tuple[FileDigest, ...], size: int) -> dict[str, object]:
    what = f"load {size / 1e9:.2f} GB, verified while it is read: CPU"
    buffer = reusable_buffer(CHUNK)
    buffer[::4096] = bytes(len(buffer) // 4096)
    if not PROGRAM.exists():
        figure = "not measured: no stock model_signing here"
        return {"what": what, "figure": figure, "must": f"at most {MOST}", "ok": False, "command": COMMAND}

    key, signature, model = (str(folder / name) for name in ("key.pem", f"{COMPONENT}.sig", COMPONENT))
    command = [str(PROGRAM), "verify", "key", "--public_key", key, "--signature", signature, model]
    inner: list[float] = []

    def hashing() -> None:
        python = str(PROGRAM.with_name("python"))
        inner.append(float(_output([python, "-c", STOCK, key, signature, model])))

    ours, plain, stock, _ = _medians(
        lambda: _read(folder, files, buffer),
        lambda: _read_only(folder, files, buffer),
        lambda: _output(command),
        hashing,
    )
    alone = statistics.median(inner[1:])
    return {
        "what": what,
        "figure": f"{ours / (plain + stock):.2f} of plain read and stock verify ({ours:.2f} s, {plain:.2f} s and "
        f"{stock:.2f} s); {ours / (plain + alone):.2f} if stock's start is not counted ({alone:.2f} s)",
        "must": f"at most {MOST} of both",
        "ok": ours <= MOST * (plain + stock),
        "command": COMMAND,
    }


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE).stdout


def _copying(folder: Path, size: int, target: str) -> dict[str, object]:
    """Hand the model over in a program of its own, for entering a namespace cannot be taken back."""
    command = [sys.executable, "-m", "bench.load", target, str(folder)]
    told = [_output(command) for _ in range(ROUNDS)]
    costs = [float(cost) for cost in told if cost.strip()]
    figure = _rate(statistics.median(costs), size) if costs else "not measured: no private mounts here"
    what = f"hand {size / 1e9:.2f} GB over in {target}: CPU"
    return {"what": what, "figure": figure, "must": "", "ok": True, "command": COMMAND}


def _hand_over_once(target: str, folder: Path) -> None:
    """Print the CPU seconds that one hand-over takes."""
    try:
        mounts = enter_private_mounts() if target == "tmpfs" else None
    except UnavailableError:
        return
    files = oms.parse((folder / f"{COMPONENT}.sig").read_bytes()).files
    before = _cpu()
    handed = hand_over({COMPONENT: files}, DirectorySource(folder), mounts, lambda _count: None)
    print(_cpu() - before)
    handed.close()


def _medians(*acts: Callable[[], object]) -> list[float]:
    """Do all of them in turns; return for each the median of the CPU seconds that it and its children took."""
    costs: list[list[float]] = [[] for _ in acts]
    for _ in range(ROUNDS + 1):
        for act, cost in zip(acts, costs, strict=True):
            before = _cpu()
            act()
            cost.append(_cpu() - before)
    return [statistics.median(cost[1:]) for cost in costs]


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _rate(seconds: float, size: int) -> str:
    return f"{size / 1e9 / seconds:.2f} GB/s"


def _read(folder: Path, files: tuple[FileDigest, ...], buffer: memoryview) -> None:
    for file in files:
        with DirectorySource(folder).open(COMPONENT, file) as opened:
            for _chunk in read_verified(opened.readinto, file, buffer, component=COMPONENT):
                pass


def _read_only(folder: Path, files: tuple[FileDigest, ...], buffer: memoryview) -> None:
    for file in files:
        with DirectorySource(folder).open(COMPONENT, file) as opened:
            while opened.readinto(buffer):
                pass


if __name__ == "__main__":
    if sys.argv[1:]:
        _hand_over_once(sys.argv[1], Path(sys.argv[2]))
    else:
        for row in rows():
            print(f"{'ok  ' if row['ok'] else 'MISS'} {row['what']}: {row['figure']} {row['must']}")
