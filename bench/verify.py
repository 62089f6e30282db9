"""What does it cost to verify a model, next to the stock `model_signing verify key`?

Both check the same bundle over the same files, from the page cache, as whole processes, in turns. Set
LOCKGATE_BENCH_BYTES for another size than 2 GB.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lockgate.formats.keys import PrivateKey
from lockgate.loader.directory import sign_directory
from tests.stock import model_signing

COMMAND = "python -m bench.verify"
ROUNDS = 5


@dataclass(frozen=True)
class Cost:
    """What a process used: seconds on processors, and on the clock."""

    cpu: float
    wall: float


def rows():
    """Measure both figures; each row says what was found, what it must be, and how to find it again."""
    size = int(os.environ.get("LOCKGATE_BENCH_BYTES", "2000000000"))
    shards, single = _compare(size, 8), _compare(size, 1)
    return [
        _row(f"verify {size / 1e9:.2f} GB in 8 shards: CPU", shards, lambda cost: cost.cpu, 0.9, statistics.median),
        _row(f"verify one file of {size / 1e9:.2f} GB: wall clock", single, lambda cost: cost.wall, 0.65, min),
    ]


def _row(
    what: str, costs: tuple[list[Cost], list[Cost]], part: Callable[[Cost], float], most: float, of: Callable
) -> dict[str, object]:
    ours, stock = (of([part(cost) for cost in each]) for each in costs)
    return {
        "what": what,
        "figure": f"{ours / stock:.2f} of stock's ({ours:.2f} s, stock {stock:.2f} s)",
        "must": f"at most {most} of stock's",
        "ok": ours <= most * stock,
        "command": COMMAND,
    }


def _compare(size: int, files: int) -> tuple[list[Cost], list[Cost]]:
    folder = Path(tempfile.mkdtemp(prefix="lockgate-bench-"))
    try:
        root, signature, key = folder / "model", folder / "model.sig", folder / "key.pem"
        root.mkdir()
        for number in range(files):
            _write(root / f"model-{number + 1:05}-of-{files:05}.safetensors", size // files)
        signer = _signer()
        key.write_bytes(signer.public.pem)
        sign_directory(root, signer, signature)
        ours, stock = _ours(root, signature, key), _stock(root, signature, key)
        costs = [(_run(ours), _run(stock)) for _ in range(ROUNDS)]
    finally:
        shutil.rmtree(folder)
    return [one for one, _ in costs], [other for _, other in costs]


def _write(path: Path, size: int) -> None:
    """Fill a file with a safetensors header and bytes that do not compress."""
    header = json.dumps({"weights": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for number in range(size >> 20):
            file.write(number.to_bytes(8, "little") + block[8:])
        file.write(block[: size % (1 << 20)])


def _signer() -> PrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    return PrivateKey.from_pem(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _ours(root: Path, signature: Path, key: Path) -> list[str]:
    program = str(Path(sys.executable).with_name("lockgate"))
    return [program, "verify", str(root), "--signature", str(signature), "--public-key", str(key)]


def _stock(root: Path, signature: Path, key: Path) -> list[str]:
    program = str(model_signing())
    return [program, "verify", "key", "--public_key", str(key), "--signature", str(signature), str(root)]


def _run(command: list[str]) -> Cost:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ended - began)


if __name__ == "__main__":
    for row in rows():
        print(f"{'ok  ' if row['ok'] else 'MISS'} {row['what']}: {row['figure']}, {row['must']}")
