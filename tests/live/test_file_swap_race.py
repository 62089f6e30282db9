"""Can somebody who may write the source slip unsigned bytes past the hand-over, by being quick?"""

import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.oms import FileDigest
from lockgate.loader.hand_over import hand_over
from lockgate.loader.source import DirectorySource

ROUNDS = 1000
SIZES = [4096, 3 << 18, 3 << 20]
STEPS = [None, 64 << 10, 1 << 20]

ATTACKER = """
import os, random, sys, time
path, evil, size = sys.argv[1], sys.argv[1] + ".evil", int(sys.argv[2])
good = bytes(size)
bad = b"\\1" * size
dice = random.Random(int(sys.argv[3]))

def whole(name, content):
    with open(name + ".new", "wb") as file:
        file.write(content)
    os.rename(name + ".new", name)

def in_place(content):
    with open(path, "r+b", buffering=0) as file:
        at = dice.randrange(size)
        file.seek(at)
        file.write(content[at : at + 65536])

def linked():
    whole(evil, bad)
    os.symlink(evil, path + ".link")
    os.rename(path + ".link", path)

while True:
    attack = dice.choice(["rename", "in place", "truncate", "link"])
    if attack == "rename":
        whole(path, bad)
    elif attack == "in place":
        in_place(bad)
    elif attack == "truncate":
        os.truncate(path, dice.randrange(size))
    else:
        linked()
    time.sleep(dice.random() * 0.002)
    whole(path, good)
    time.sleep(dice.random() * 0.004)
"""


@pytest.fixture(params=SIZES, ids=lambda size: f"{size} bytes")
def attacked(request):
    """Give a file of zeros that a program of its own alters and puts right, over and over."""
    with tempfile.TemporaryDirectory(prefix="lockgate-test-", dir="/dev/shm") as folder:
        path = Path(folder) / "weights/model.bin"
        path.parent.mkdir()
        path.write_bytes(bytes(request.param))
        attacker = subprocess.Popen([sys.executable, "-c", ATTACKER, str(path), str(request.param), "7"])
        yield Path(folder), request.param
        assert attacker.poll() is None, "the attacker gave up"
        attacker.kill()
        attacker.wait()


def signed(size: int, step: int | None) -> FileDigest:
    content = bytes(size)
    if step is None:
        return FileDigest("model.bin", Digest.of(content), size)
    chunks = tuple(Digest.of(content[at : at + step]).raw for at in range(0, size, step))
    return FileDigest("model.bin", Digest.of(content), size, step, chunks)


def attempt(root: Path, file: FileDigest) -> str:
    try:
        handed = hand_over({"weights": [file]}, DirectorySource(root), None, lambda _count: None)
    except VerificationError:
        return "refused"
    try:
        copy = Path(handed.paths["weights/model.bin"]).read_bytes()
    finally:
        handed.close()
    return "signed bytes" if Digest.of(copy) == file.sha256 else "unsigned bytes"


def attempt_by_verifying_first(root: Path, file: FileDigest) -> str:
    """Do what must not be done: check the file, then open it again and use it."""
    path = root / "weights/model.bin"
    try:
        checked = path.read_bytes()
        if Digest.of(checked) != file.sha256:
            return "refused"
        used = path.read_bytes()
    except OSError:
        return "refused"
    return "signed bytes" if Digest.of(used) == file.sha256 else "unsigned bytes"


def test_every_hand_over_gives_the_signed_bytes_or_none(attacked):
    root, size = attacked
    files = [signed(size, step) for step in STEPS]
    dice = random.Random(size)

    outcomes = Counter(attempt(root, dice.choice(files)) for _ in range(ROUNDS // len(SIZES) + 1))

    assert set(outcomes) == {"signed bytes", "refused"}, outcomes


def test_the_same_attacker_defeats_a_check_that_comes_before_the_use(attacked):
    root, size = attacked
    file = signed(size, None)

    outcomes: Counter[str] = Counter()
    while not outcomes["unsigned bytes"] and outcomes.total() < 20 * ROUNDS:
        outcomes[attempt_by_verifying_first(root, file)] += 1

    assert outcomes["unsigned bytes"], outcomes
