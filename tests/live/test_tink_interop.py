"""Does the real Tink read what we encrypt, do we read what it encrypts, and does it refuse what we refuse?"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.segments import HEADER, KEY, RANDOM, SEGMENT, TAG, encrypt, make_header
from tests.formats.records import records
from tests.formats.test_segments import both, from_start
from tests.stock import tink_python

FIRST, EACH = SEGMENT - TAG - HEADER, SEGMENT - TAG
SIZES = [0, 1, 4096, FIRST - 1, FIRST, FIRST + 1, FIRST + EACH - 1, FIRST + EACH, FIRST + EACH + 1, 5 * SEGMENT]
PROGRAM = Path(__file__).parents[1] / "tinkering.py"


@pytest.fixture(scope="module")
def tink(tmp_path_factory):
    """Give a function that lets Tink encrypt or decrypt bytes; None is what it refuses."""
    command = [str(tink_python()), str(PROGRAM)]
    folder = tmp_path_factory.mktemp("tink")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:

        def ask(do, content, key, name):
            assert program.stdin is not None and program.stdout is not None
            (folder / "from").write_bytes(content)
            order = {"do": do, "key": key.hex(), "aad": str(name).encode().hex()}
            print(json.dumps(order | {"from": str(folder / "from"), "to": str(folder / "to")}), file=program.stdin)
            program.stdin.flush()
            done = json.loads(program.stdout.readline())["ok"]
            return (folder / "to").read_bytes() if done else None

        yield ask
        program.stdin.close()


@pytest.mark.parametrize("size", SIZES)
def test_each_reads_what_the_other_encrypted(tink, size):
    content, key = os.urandom(size), os.urandom(KEY)
    name = Digest.of(content)
    ours = encrypt([content], key, name, make_header(os.urandom(RANDOM)), watch=lambda _part: None)

    assert tink("decrypt", b"".join(bytes(part) for part in ours), key, name) == content
    assert both(tink("encrypt", content, key, name), name, key) == content


@pytest.mark.parametrize("record", records("segments/bad.txt"), ids=lambda record: record["case"])
def test_neither_reads_what_was_changed(tink, record):
    found, key, name = bytes.fromhex(record["ciphertext"]), bytes.fromhex(record["key"]), Digest.parse(record["name"])

    with pytest.raises(VerificationError):
        from_start(found, name, key)
    assert len(key) < KEY or tink("decrypt", found, key, name) is None


def test_neither_reads_a_file_that_ends_at_the_border_of_a_segment(tink):
    content, key = os.urandom(3 * SEGMENT), os.urandom(KEY)
    name = Digest.of(content)
    found = tink("encrypt", content, key, name)

    for cut in (SEGMENT, 2 * SEGMENT, 3 * SEGMENT):
        with pytest.raises(VerificationError):
            both(found[:cut], name, key)
        assert tink("decrypt", found[:cut], key, name) is None
