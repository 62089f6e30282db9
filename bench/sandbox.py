"""What does the sandbox add to the start of a program? The same program bare and inside, in turns.

By the median of wall clocks: a job waits for what is started for it. So measure it on a machine that has nothing else
to do, or look at the ratio and the load that are written beside it.
"""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from lockgate.drivers.bubblewrap.outer import Bubblewrap
from lockgate.evaluator.sandbox import Job

COMMAND = "python -m bench sandbox"
MOST_MS = 150
ROUNDS = 15
PROGRAM = (sys.executable, "-I", "-S", "-c", "pass")
SERVER = """
import socket
door = socket.create_server(("127.0.0.1", 8000))
while True: door.accept()[0].sendall(b"here")
"""


def rows() -> list[dict[str, object]]:
    """Measure; each row says what was found, what it must be, and how to find it again."""
    box = Bubblewrap()
    bare, inside = [], []
    for _ in range(ROUNDS):
        bare.append(1000 * _seconds(lambda: subprocess.run(PROGRAM, check=True)))
        inside.append(1000 * _seconds(lambda: _checked(box)))
    one, other = statistics.median(inside), statistics.median(bare)
    added = one - other
    figure = (
        f"{added:.0f} ms added ({one:.0f} ms, bare {other:.0f} ms: {one / other:.1f}); load {os.getloadavg()[0]:.1f}"
    )
    answered = 1000 * statistics.median(_seconds(lambda: _answered(box)) for _ in range(5))
    return [
        {
            "what": "start a job behind bubblewrap, seccomp, Landlock and limits: wall clock",
            "figure": figure,
            "must": f"at most {MOST_MS} ms added",
            "ok": added <= MOST_MS,
            "command": COMMAND,
        },
        {
            "what": "serve a job in the sandbox: until the first answer through the relay, and its end",
            "figure": f"{answered:.0f} ms",
            "must": "",
            "ok": None,
            "command": COMMAND,
        },
    ]


def _seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def _checked(box: Bubblewrap) -> None:
    assert box.run(Job(PROGRAM)).code == 0


def _answered(box: Bubblewrap) -> None:
    with (
        box.serve(Job((sys.executable, "-I", "-S", "-c", SERVER), port=8000)) as served,
        socket.socket(socket.AF_UNIX) as call,
    ):
        call.connect(str(served.socket))
        assert call.recv(10) == b"here"
