"""Does every interaction see one release as a whole? `python -m bench.pairs PORT PATH COUNT RELEASE=PARTS …`

A process of its own, with callers at a time. An interaction is two requests: the first to whoever it falls to, the
second to the release that answered. Each answer names its release (`x-release`, by the gateway) and the parts that
it is made of (by the model server); both must be of one release, and of the same in both. It writes how many were
so, and were not.
"""

import http.client
import sys
import threading
from collections import Counter

CALLERS = 16


def main(port: int, path: str, count: int, known: dict[str, str]) -> None:
    """Interact so many times, and say what came of it."""
    counted, lock = Counter[str](), threading.Lock()

    def call() -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while True:
            with lock:
                if counted["begun"] == count:
                    return
                counted["begun"] += 1
            release, one = _ask(line, path, {})
            again, other = _ask(line, path, {"x-release": release})
            sort = "whole" if one == other == f"{known.get(release)} {path}" and again == release else "mixed"
            with lock:
                counted[sort] += 1
                counted[release] += 1

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    print(counted["whole"], counted["mixed"], *(counted[release] for release in known), flush=True)


def _ask(line: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> tuple[str, str]:
    line.request("POST", f"/prod/magika{path}", b"{}", headers)
    answer = line.getresponse()
    return answer.getheader("x-release") or "-", answer.read().decode()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), dict(pair.split("=", 1) for pair in sys.argv[4:]))
