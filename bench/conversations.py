"""Is every conversation with an agent held with one release of it? `python -m bench.conversations PORT COUNT FILE`

A process of its own, with callers at a time. A conversation is two requests: the first to whoever it falls to, the
second, which only makes sense after the first, to the release that answered. FILE (JSON) says of each release which
parts it is made of. Both answers must name that release (`x-release`, by the gateway) and all of its parts and no
others, and the second one must be made of what this release was told in the first. It writes how many were so, how
many were mixed, how many were not answered, and how many were held with each release.
"""

import http.client
import json
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from lockgate.core.traffic import RELEASE_HEADER

CALLERS = 8
TOOLS_IN = 200  # a call of a tool is much slower than all the rest: one conversation in so many has one
READING = ("How do I roll back a release?", "How do I shut down an endpoint?")
CALLING = ("Where is my order A-1042?", "And when will it be delivered?")


def main(port: int, count: int, known: dict[str, dict[str, str]]) -> None:
    """Hold so many conversations, and say what came of them."""
    counted, lock = Counter[str](), threading.Lock()

    def call() -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            with lock:
                counted["begun"] += 1
                number = counted["begun"]
            if number > count:
                return
            sort, release = _held(line, number, known)
            with lock:
                counted[sort] += 1
                counted[release] += 1

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    print(counted["whole"], counted["mixed"], counted["lost"], *(counted[release] for release in known), flush=True)


def _held(line: http.client.HTTPConnection, number: int, known: dict[str, dict[str, str]]) -> tuple[str, str]:
    first, second = CALLING if number % TOOLS_IN == 0 else READING
    session = f"conversation-{number}"
    try:
        release, one = _ask(line, session, first, {})
        again, other = _ask(line, session, second, {RELEASE_HEADER: release})
    except (OSError, http.client.HTTPException, ValueError):
        line.close()
        return "lost", "nobody"
    of_one_release = again == release and one["parts"] == other["parts"] == known.get(release)
    return "whole" if of_one_release and one["release"] == other["release"] and _remembers(other) else "mixed", release


def _remembers(answer: dict[str, Any]) -> bool:
    """Tell whether the second answer was given by somebody who heard the first request, and nothing else."""
    steps = {step["step"]: step for step in answer["steps"]}
    if steps["recall"]["turns"] != 1:
        return False
    return "call" not in steps or steps["call"]["arguments"].get("number") == "A-1042"


def _ask(
    line: http.client.HTTPConnection, session: str, request: str, headers: dict[str, str]
) -> tuple[str, dict[str, Any]]:
    line.request("POST", "/prod/magika/ask", json.dumps({"session": session, "request": request}).encode(), headers)
    answer = line.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise ValueError(f"{answer.status}")
    return answer.getheader(RELEASE_HEADER) or "-", json.loads(body)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), json.loads(Path(sys.argv[3]).read_bytes()))
