"""Where is the story played? In a folder of its own, by real commands, each step told with its time.

A step is a promise: it holds, or the demo fails and says which one did not. Everything that is done is done by the
`lockgate` command as a person would type it, with that person's key.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click
import urllib3

from lockgate.errors import LockgateError, UnavailableError

_PATIENCE = 180.0
_FINE = (None, 0, 10)  # a process goes on, or ended well, or was a run whose permission ended


class BrokenPromiseError(Exception):
    """A step did not do what it should."""


@dataclass(slots=True)
class Told:
    """What a step says of itself when it is done, and the numbers in it."""

    detail: str = ""
    numbers: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Site:
    """An installation of the story: its folder and its address."""

    environment: str
    home: Path
    url: str


@dataclass
class Stage:
    """A folder, the processes that run in it, and whether every step so far did what it should."""

    home: Path | None
    json_: bool
    keep: bool
    all_good: bool = True
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _named: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _stopped: bool = False

    def __enter__(self) -> Self:
        """Make the folder."""
        self.folder = self.home.resolve() if self.home else Path(tempfile.mkdtemp(prefix="lockgate-demo-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.web = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=2, read=30))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Stop everything, unless it shall be kept."""
        if self.keep and kind is None and self.all_good:
            self.say(f"everything is left running in {self.folder}; stop it with: kill {self._pids()}")
            return
        for process in reversed(self._running):
            self.stop(process)
        if self.home is None and self.all_good:
            shutil.rmtree(self.folder, ignore_errors=True)
        elif not self.all_good:
            self.say(f"what happened is in {self.folder}")

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[Told]:
        """Play one step; if it breaks its promise, say so and end the chapter."""
        told, began = Told(), time.monotonic()
        try:
            yield told
        except (BrokenPromiseError, LockgateError, AssertionError, OSError) as e:
            self.all_good = False
            told.detail = str(e) or type(e).__name__
            self._tell(name, what, time.monotonic() - began, told, ok=False)
            raise SystemExit(1) from e
        self._tell(name, what, time.monotonic() - began, told, ok=True)

    def say(self, line: str) -> None:
        """Say something between the steps."""
        click.echo(line, err=self.json_)

    def lockgate(
        self, *arguments: object, who: str = "", site: Site | None = None, expect: int = 0, found_with: int = 0
    ) -> Any:
        """Run a command as `who` at `site`; return its JSON, or what it complained about if `expect` is not 0.

        `found_with` is the code with which a command ends that found something, and says what.
        """
        done = self._done([*arguments, "--json"], who, site, expect or found_with)
        found = json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else {}
        return found if expect == 0 else "; ".join(found.get("reasons", [])) or done.stderr.strip()

    def lockgate_text(self, *arguments: object, expect: int = 0) -> str:
        """Run a command that has no --json and does not succeed; return why."""
        lines = self._done(list(arguments), "", None, expect).stderr.strip().splitlines()
        reasons = [line.partition(": ")[2] for line in lines if line.startswith(("denied: ", "not verified: "))]
        return "; ".join(reasons) or lines[-1]

    def _done(
        self, arguments: list[object], who: str, site: Site | None, expect: int
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ}
        if who:
            environment |= {"LOCKGATE_KEY": str(self.key(who)), "LOCKGATE_ACTOR": who}
        if site:
            environment |= {"LOCKGATE_SERVER": site.url, "LOCKGATE_HOME": str(site.home)}
        words = [str(argument) for argument in arguments]
        done = subprocess.run(
            [*lockgate_command(), *words], env=environment, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=_PATIENCE,
        )  # fmt: skip
        if done.returncode != expect:
            said, command = (done.stdout + done.stderr).strip()[-600:], " ".join(words[:3])
            raise BrokenPromiseError(f"`lockgate {command} …` ended with {done.returncode}, not {expect}: {said}")
        return done

    def key(self, name: str) -> Path:
        """Say where the private key called `name` lies."""
        return self.folder / "keys" / f"{name}.pem"

    def start(
        self, command: list[str], log: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process that goes on in the background; what it says goes to a file."""
        with (self.folder / f"{log}.log").open("ab") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=self.keep,
            )
        self._running.append(process)
        self._named[log] = process
        return process

    def process(self, log: str) -> subprocess.Popen[bytes]:
        """Return the process that was started last under this name."""
        return self._named[log]

    def kill(self, log: str) -> None:
        """Kill a process as a crash would, without a word."""
        process = self._named[log]
        process.kill()
        process.wait()
        self._running.remove(process)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Stop a process that was started here."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            if process.poll() is None:
                process.kill()
                process.wait()
        if process in self._running:
            self._running.remove(process)

    def ask(self, url: str, body: bytes | None = None) -> Mapping[str, Any]:
        """Ask an HTTP server for JSON; raise `UnavailableError` if there is no answer."""
        try:
            answer = self.web.request("POST" if body is not None else "GET", url, body=body)
        except (urllib3.exceptions.HTTPError, OSError) as e:
            raise UnavailableError(f"no answer from {url}") from e
        found = json.loads(answer.data)
        assert isinstance(found, dict)
        return found

    def until(self, what: str, holds: Callable[[], bool], *, patience: float = _PATIENCE) -> float:
        """Wait until something holds; return how long that took, in seconds."""
        began = time.monotonic()
        while time.monotonic() - began < patience:
            with suppress(UnavailableError, ValueError):
                if holds():
                    return time.monotonic() - began
            if self._running and any(process.poll() not in _FINE for process in self._running):
                raise BrokenPromiseError(f"a process ended while we waited until {what}; see the logs in {self.folder}")
            time.sleep(0.05)
        raise BrokenPromiseError(f"waited {patience} s, but it did not come true that {what}")

    def _tell(self, name: str, what: str, seconds: float, told: Told, *, ok: bool) -> None:
        if self.json_:
            said = {"step": name, "ok": ok, "seconds": round(seconds, 3), "detail": told.detail}
            click.echo(json.dumps(said | ({"numbers": told.numbers} if told.numbers else {})))
            sys.stdout.flush()
            return
        mark = click.style("✔", fg="green") if ok else click.style("✘", fg="red")
        click.echo(f"{mark} {name:<26} {seconds:6.2f} s  {what}")
        for line in told.detail.replace("; ", "\n").splitlines():
            click.secho(f"{'':38}{line}", fg=None if ok else "red", dim=ok)

    def _pids(self) -> str:
        return " ".join(str(process.pid) for process in reversed(self._running))


def lockgate_command() -> list[str]:
    """Say how the `lockgate` of this interpreter is started."""
    return [sys.executable, "-m", "lockgate"]


def free_port() -> int:
    """Find a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
        assert isinstance(port, int)
        return port


def promise(holds: bool, otherwise: str) -> None:
    """Break the step unless something holds."""
    if not holds:
        raise BrokenPromiseError(otherwise)
