"""Does a person whose key never leaves their SSH agent speak from the command line as they would with a key file?"""

import os
import shutil
import signal
import subprocess
from dataclasses import replace

import pytest

from lockgate.cli.speaking import signing
from lockgate.core.intent import Intent, open_intent
from lockgate.core.trust import Actor
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.names import Name
from lockgate.formats.sshsig import SshKey
from tests.world import NOW, PEOPLE, trust

pytestmark = pytest.mark.skipif(not shutil.which("ssh-agent"), reason="no ssh-agent here (Debian: openssh-client)")


@pytest.fixture
def public(tmp_path, monkeypatch):
    """The public key file of a key that only an agent holds."""
    file = tmp_path / "bob"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    while not socket.exists():
        assert agent.poll() is None
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    subprocess.run(["ssh-add", "-q", str(file)], check=True)
    file.unlink()
    yield file.with_suffix(".pub")
    agent.send_signal(signal.SIGTERM)
    agent.wait()


def intent(name="bob"):
    return Intent("change.approve", "change/5", None, None, Name(name), "nonce-of-the-agent", NOW.replace(hour=13))


def trusting(public):
    key = SshKey.parse(public.read_text()).public
    others = tuple(actor for actor in trust().actors if actor.name != Name("bob"))
    return replace(trust(), actors=(*others, Actor(Name("bob"), PEOPLE["bob"], (key,))))


def test_an_intent_that_an_agent_signed_is_the_word_of_its_holder(public):
    said = open_intent(signing(f"agent:{public}")(intent()), trusting(public), NOW)

    assert said.actor.name == Name("bob")


def test_it_is_the_word_of_nobody_else(public):
    with pytest.raises(VerificationError):
        open_intent(signing(f"agent:{public}")(intent("carol")), trusting(public), NOW)


def test_without_an_agent_nobody_speaks(public, monkeypatch):
    monkeypatch.setenv("SSH_AUTH_SOCK", f"{os.environ['SSH_AUTH_SOCK']}-gone")

    with pytest.raises(UnavailableError):
        signing(f"agent:{public}")(intent())
