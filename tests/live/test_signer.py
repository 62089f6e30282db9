"""Does the signer, a process of its own, remember what it signed, whoever kills it and whatever the disk says?"""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from lockgate.drivers.anchor_file import AnchorFile, alone, begin_memory, recall, remembered
from lockgate.drivers.embedded_signer import EmbeddedSigner
from lockgate.drivers.signer_socket import SignerSocket
from lockgate.errors import ConflictError, LockgateError, UnavailableError, VerificationError
from lockgate.keyring import server_key
from lockgate.tlog.checkpoint import open_checkpoint
from lockgate.tlog.note import NoteVerifier
from tests.live.soft_hsm import make_key, make_token
from tests.tlog.keys import ORIGIN
from tests.tlog.trees import Tree

LOG, OTHER = Tree(300), Tree(300, seed="other")
SIGNER = [sys.executable, "-m", "lockgate.signer"]

STRANGER = """
import os, socket, sys
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
door = socket.socket(socket.AF_UNIX)
door.connect(sys.argv[1])
try:
    door.sendall(b'{"type":"signer.last/v1"}\\n')
    print(len(door.recv(4096)))
except OSError:
    print(0)
"""


@contextmanager
def running(home, *options, before=()):
    """Run a signer, until the block ends or somebody kills it; wait until it answers or is dead."""
    process = subprocess.Popen([*before, *SIGNER, str(home), *options], stderr=subprocess.PIPE, text=True)
    try:
        heads = SignerSocket(home / "signer.sock", patience=10)
        wait_for(process, heads)
        yield heads, process
    finally:
        process.kill()
        process.communicate()


def wait_for(process, heads):
    for _ in range(1000):
        with suppress(UnavailableError):
            return heads.last()
        if process.poll() is not None:
            return None
        time.sleep(0.01)
    raise AssertionError("the signer says nothing")


@pytest.fixture
def home(tmp_path):
    begin_memory(tmp_path, ORIGIN)
    return tmp_path


@pytest.fixture
def opened(home):
    verifier = NoteVerifier(ORIGIN, server_key(home, "checkpoint").public.raw)
    return lambda note: open_checkpoint(note, [verifier])


def kept(home):
    return AnchorFile(home, server_key(home, "checkpoint"))


def test_only_our_user_finds_the_socket(home):
    with running(home):
        assert stat.S_IMODE((home / "signer.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE((home / "anchor.json").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="elsewhere: only root can ask as somebody else")
@pytest.mark.parametrize(("options", "answered"), [((), False), (("--user", "65534"), True)])
def test_a_stranger_gets_an_answer_only_if_named(home, options, answered):
    with running(home, *options):
        socket_path = home / "signer.sock"
        for folder in (home, *home.parents[:-1]):
            folder.chmod(folder.stat().st_mode | 0o011)
        socket_path.chmod(0o666)
        done = subprocess.run(
            [sys.executable, "-c", STRANGER, str(socket_path)], capture_output=True, text=True, check=True
        )

    assert (int(done.stdout) > 0) is answered


def test_a_silent_caller_keeps_nobody_waiting_for_long(home, opened):
    with running(home) as (heads, _), socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(home / "signer.sock"))

        assert opened(heads.last()).size == 0


@pytest.mark.parametrize("line", [b"", b"\n", b"x" * 100_000, b"[" * 20_000 + b"\n", b'{"type":"signer.sign/v1"}\n'])
def test_nonsense_is_refused_and_the_next_one_is_served(home, opened, line):
    with running(home) as (heads, _):
        with socket.socket(socket.AF_UNIX) as caller, suppress(BrokenPipeError, ConnectionResetError):
            caller.connect(str(home / "signer.sock"))
            caller.sendall(line)
            caller.shutdown(socket.SHUT_WR)
            assert b"signer.refused/v1" in caller.recv(4096)

        assert opened(heads.sign(LOG.head(3), ())) == LOG.head(3)


def test_there_is_one_signer_for_a_home(home):
    with running(home), pytest.raises(ConflictError, match="another signer is at work"), alone(home, 0.2):
        pass


def test_a_signer_without_its_memory_does_not_start_and_nobody_makes_it_a_new_one(home):
    (home / "anchor.json").unlink()

    done = subprocess.run([*SIGNER, str(home)], capture_output=True, text=True, check=False, timeout=30)

    assert (done.returncode, "the signer has forgotten what it signed" in done.stderr) == (6, True)
    with pytest.raises(UnavailableError, match="has forgotten"):
        begin_memory(home, ORIGIN)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff", b'{"type":"anchor/v1","origin":"x","size":1,"root":"sha256:1"}']
)
def test_a_memory_that_is_damaged_signs_nothing(home, content):
    (home / "anchor.json").write_bytes(content)

    with pytest.raises(VerificationError, match=r"anchor\.json is damaged"):
        kept(home)


def test_a_memory_that_was_lost_is_recalled_from_a_signed_head_and_from_nothing_else(home, opened):
    note = kept(home).sign(LOG.head(21), ())
    with pytest.raises(ConflictError, match="never replaced"):
        recall(home, server_key(home, "checkpoint"), note)
    (home / "anchor.json").unlink()
    with pytest.raises(VerificationError):
        recall(home, server_key(home, "checkpoint"), note.replace("\n21\n", "\n20\n"))

    assert recall(home, server_key(home, "checkpoint"), note) == opened(note) == remembered(home)
    with pytest.raises(ConflictError):
        kept(home).sign(LOG.head(20), ())


def test_a_signer_is_of_one_log(home):
    with pytest.raises(ConflictError, match="signs for the log"):
        begin_memory(home, "other.example")


def test_a_socket_may_lie_deep(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    begin_memory(deep, ORIGIN)

    with running(deep) as (heads, _):
        assert heads.sign(LOG.head(3), ())


def test_it_ends_with_the_server_and_is_started_again_if_it_dies_alone(home):
    signer = EmbeddedSigner(home)
    signer.start()
    heads = SignerSocket(home / "signer.sock")
    note = heads.sign(LOG.head(21), ())
    process = signer._process
    assert process is not None
    process.send_signal(signal.SIGKILL)

    for _ in range(200):
        with suppress(UnavailableError):
            assert heads.last() == note
            break
        time.sleep(0.05)
    else:
        raise AssertionError("it was not started again")
    signer.stop()

    with pytest.raises(UnavailableError, match="does not answer"):
        heads.last()


def signs_beside_a_server(home):
    """Start the signer as a server does, have a head signed, and stop it."""
    signer = EmbeddedSigner(home)
    try:
        signer.start()
        return SignerSocket(home / "signer.sock").sign(LOG.head(21), ())
    finally:
        signer.stop()


def test_its_key_may_lie_in_a_token(home, tmp_path):
    (tmp_path / "token").mkdir()
    uri = make_key(make_token(tmp_path / "token"), "checkpoint", "ed25519")
    (home / "keys" / "checkpoint.pem").unlink()
    (home / "keys" / "checkpoint.uri").write_text(f"{uri}\n")
    verifier = NoteVerifier(ORIGIN, server_key(home, "checkpoint").public.raw)

    assert open_checkpoint(signs_beside_a_server(home), [verifier]) == LOG.head(21)


def test_its_key_may_be_encrypted(home, opened, monkeypatch):
    path, passphrase = home / "keys" / "checkpoint.pem", home / "passphrase"
    key = load_pem_private_key(path.read_bytes(), None)
    hidden = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"correct horse"))
    note_before = opened(kept(home).last())
    path.write_bytes(hidden)
    passphrase.write_text("correct horse\n")

    with pytest.raises(UnavailableError, match="did not start"):
        signs_beside_a_server(home)
    monkeypatch.setenv("LOCKGATE_KEY_PASSWORD_FILE", str(passphrase))
    assert opened(signs_beside_a_server(home)) == LOG.head(21) != note_before


@pytest.mark.slow
def test_killed_at_any_moment_it_remembers_all_that_it_signed(home, opened):
    size = signed = 0
    for round_ in range(16):
        with running(home) as (heads, process):
            last = opened(heads.last()).size
            assert last in (signed, size), "what was signed was forgotten, or what was never asked for is remembered"
            signed = size = last
            killer = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.0{round_ % 8}{round_ % 3}; kill -9 {process.pid}"])
            try:
                while size < 299:
                    size += 1
                    heads.sign(LOG.head(size), LOG.proof(size - 1, size))
                    signed = size
            except UnavailableError:
                pass
            killer.wait()
        if size >= 299:
            break

    assert signed > 3
    with running(home) as (heads, _):
        for proof in (OTHER.proof(signed, 300), ()):
            with pytest.raises(LockgateError):
                heads.sign(OTHER.head(300), proof)


CALLS = [("openat", 1), ("openat", 2), ("write", 1), ("fsync", 1), ("fsync", 2), ("rename", 1), ("sendto", 1)]


@pytest.fixture
def strace():
    if shutil.which("strace") is None:
        pytest.skip("needs strace: apt-get install --yes strace")


@pytest.mark.slow
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_whatever_call_fails_no_head_is_signed_that_is_not_remembered(home, opened, error, strace):
    with running(home) as (heads, process):
        for call, when in CALLS:
            before = remembered(home)
            note = _signed_under(heads, process, before, (call, f"error={error}:when={when}"), home / "trace")

            assert note is None, f"{call} {error}: signed all the same"
            assert remembered(home) in (before, LOG.head(before.size + 1))
            last, size = opened(heads.last()), before.size + 1
            assert last in (before, remembered(home))
            assert opened(heads.sign(LOG.head(size), LOG.proof(last.size, size))) == remembered(home)


@pytest.mark.slow
def test_killed_at_each_call_it_remembers_what_it_signed_and_starts_again(home, opened, strace):
    signed = LOG.head(0)
    for call, when in CALLS:
        with running(home) as (heads, process):
            last = opened(heads.last())
            assert last in (signed, LOG.head(signed.size + 1))
            note = _signed_under(heads, process, last, (call, f"signal=KILL:when={when}"), home / "trace")
            assert note is None
            signed = last

    assert kept(home).last()
    assert sorted(path.name for path in home.glob(".anchor*")) == []


def _signed_under(heads, process, last, fault, trace):
    """Have the next head signed while one system call fails; return its note, if there was one."""
    call, how = fault
    tracer = subprocess.Popen(
        ["strace", "-f", "-o", str(trace), "-p", str(process.pid), "-e", f"trace={call}", "-e", f"inject={call}:{how}"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    assert "attached" in tracer.stderr.readline()
    try:
        return heads.sign(LOG.head(last.size + 1), LOG.proof(last.size, last.size + 1))
    except LockgateError:
        return None
    finally:
        tracer.terminate()
        tracer.communicate()
        assert re.search(r"INJECTED|= \?$|killed by SIGKILL", trace.read_text(), re.MULTILINE), "nothing was injected"
