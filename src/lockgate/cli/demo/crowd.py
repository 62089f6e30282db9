"""Who asks the model all the time? A few callers through the gateway, each of which notes who answered, and how.

A caller sends one file after another and waits for its answer, as fast as it is allowed to. It knows of no release: the
answer says in `x-release` which one gave it.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import urllib3

from lockgate.cli.demo.samples import SAMPLES
from lockgate.cli.demo.stage import promise
from lockgate.core.traffic import RELEASE_HEADER

CALLERS, PER_SECOND = 8, 240
_FILES = ("lock.md", "gates.sh", "lock.h", "lock.json")
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: when it came, from which release, how, and after how many milliseconds. No answer has status 0."""

    at: float
    release: str
    status: int
    milliseconds: float


class Crowd:
    """The callers, and all answers that they got."""

    def __init__(self, url: str) -> None:
        self.answers: list[Answered] = []
        self._url, self._ended = url, threading.Event()
        self._callers = [threading.Thread(target=self._call, args=(n,), daemon=True) for n in range(CALLERS)]

    def __enter__(self) -> Self:
        """Begin to ask."""
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Ask no more."""
        self._ended.set()
        for caller in self._callers:
            caller.join(_PATIENCE)

    def next(self, number: int) -> list[Answered]:
        """Wait for so many more answers to requests that are sent from now on, and list them."""
        now, first, ends = time.monotonic(), len(self.answers), time.monotonic() + _PATIENCE
        while time.monotonic() < ends:
            found = [one for one in self.answers[first:] if one.at - one.milliseconds / 1000 > now]
            if len(found) >= number:
                return found
            time.sleep(0.05)
        promise(holds=False, otherwise=f"{number} answers did not come in {_PATIENCE} s")
        return []

    def settle(self, release: str, number: int) -> int:
        """Wait until so many answers in a row are good ones of one release; return how many were not, before them."""
        first, ends = len(self.answers), time.monotonic() + _PATIENCE
        while time.monotonic() < ends:
            found = [(one.release, one.status) == (release, 200) for one in self.answers[first:]]
            others = found.count(False)
            if found[-number:] == [True] * number:
                return others
            time.sleep(0.05)
        promise(holds=False, otherwise=f"{number} answers in a row by one release did not come in {_PATIENCE} s")
        return 0

    def _call(self, number: int) -> None:
        web = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=2, read=30))
        body, pause = SAMPLES[_FILES[number % len(_FILES)]].content(), CALLERS / PER_SECOND
        while not self._ended.is_set():
            sent = time.monotonic()
            try:
                answer = web.request("POST", f"{self._url}/classify", body=body)
                release, status = answer.headers.get(RELEASE_HEADER, ""), answer.status
            except (urllib3.exceptions.HTTPError, OSError):
                release, status = "", 0
            ended = time.monotonic()
            self.answers.append(Answered(ended, release, status, 1000 * (ended - sent)))
            self._ended.wait(max(0.0, sent + pause - ended))


def told(answers: list[Answered], tags: dict[str, str]) -> dict[str, dict[str, int]]:
    """Count answers by release and status; `tags` names releases by their digest."""
    found: dict[str, dict[str, int]] = {}
    for (release, status), times in sorted(Counter((one.release, one.status) for one in answers).items()):
        found.setdefault(tags.get(release, "nobody"), {})[str(status)] = times
    return found
