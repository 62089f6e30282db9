"""Is what happens in another process told as if it had happened in the first one?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="elsewhere: one processor"),
]
MEETS = """
import os, pathlib, time, pytest
FIRST = os.getpid()
def is_beside():
    here = pathlib.Path(__file__).parent
    (here / f"{os.getpid()}.here").touch()
    while len(list(here.glob("*.here"))) < 2:
        time.sleep(0.01)
    return os.getpid() != FIRST
"""


def ran(folder, test, *words):
    for name in ("test_one.py", "test_two.py"):
        (folder / name).write_text(
            f"{MEETS}\ndef test_it():\n    beside = is_beside()\n    {test}\ndef test_more(): ...\n"
        )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.abreast",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            *words,
            folder,
        ],
        cwd=ROOT,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("test", "code", "said"),
    [
        ("pass", 0, "4 passed in"),
        ("assert not beside, 'a reason'", 1, "AssertionError: a reason"),
        ("assert not beside", 1, "1 failed, 3 passed in"),
        ("beside and pytest.skip('a reason')", 0, "3 passed, 1 skipped in"),
        ("beside and os._exit(0)", 1, "a process ended with 0 after"),
        ("beside and os._exit(1)", 1, "a process ended with 1 after"),
        ("beside and os.kill(os.getpid(), 9)", 1, "a process ended with -9 after"),
    ],
)
def test_what_happens_beside_is_told(tmp_path, test, code, said):
    found, told = ran(tmp_path, test)

    assert found == code and said in told


def test_who_is_to_stop_at_once_stops(tmp_path):
    code, told = ran(tmp_path, "assert beside", "--maxfail=1")

    assert code == 1 and "1 failed" in told
