"""Which key does a text mean? A file, an SSH agent, a security module, or a key management service.

    PATH                                        PEM: PKCS#8, which asks for its passphrase if it has one, or OpenSSH
    agent:PUBLIC-KEY-FILE                       an OpenSSH public key that the SSH agent holds
    pkcs11:token=…;object=…;module-path=…       RFC 7512; the PIN lies in a file (pin-source)
    awskms:… gcpkms:… azurekms:… hv:…           with ;public=FILE, the key that they are to sign with

Every command and every server reads its keys through here. What a key may sign, the trust document says, not its place.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.keys import PrivateKey, PublicKey, Signer
from lockgate.formats.pkcs11_uri import SCHEME as PKCS11
from lockgate.formats.pkcs11_uri import Pkcs11Uri

if TYPE_CHECKING:
    from lockgate.drivers.ssh_agent import SshAgent

AGENT = "agent:"
REMOTE = ("awskms:", "gcpkms:", "azurekms:", "hv:")
PASSWORD, PASSWORD_FILE = "LOCKGATE_KEY_PASSWORD", "LOCKGATE_KEY_PASSWORD_FILE"
_LARGEST = 1 << 16  # bytes of a key file

Passphrase = Callable[[Path], bytes | None]


def is_file(text: str) -> bool:
    """Tell whether `text` means a key in a file."""
    return not text.startswith((AGENT, PKCS11, *REMOTE))


def open_signer(text: str, passphrase: Passphrase | None = None) -> Signer:
    """Return what signs with the key that `text` means; raise `UnavailableError` when it cannot be reached."""
    if text.startswith(AGENT):
        return _agent_key(Path(text.removeprefix(AGENT)))
    if text.startswith(PKCS11):
        return _token_key(Pkcs11Uri.parse(text))
    if text.startswith(REMOTE):
        return _remote_key(text)
    return open_file(Path(text), passphrase)


def server_key(home: Path, name: str) -> Signer:
    """Open a key of a server or a signer: where `keys/NAME.uri` says, else the file `keys/NAME.pem`."""
    place = home / "keys" / f"{name}.uri"
    try:
        return open_signer(place.read_text().strip() if place.exists() else str(place.with_suffix(".pem")))
    except (OSError, UnicodeDecodeError) as e:
        raise UnavailableError(f"cannot read {place}: {e}") from e


def open_file(path: Path, passphrase: Passphrase | None = None) -> PrivateKey:
    """Read a private key from a PEM file; ask for its passphrase if it is encrypted."""
    pem = _read(path)
    password = (passphrase or chosen_passphrase)(path) if b"ENCRYPTED" in pem else None
    try:
        return PrivateKey.from_pem(pem, password)
    except VerificationError as e:
        if b"OPENSSH" not in pem:
            raise
        hint = f"let the SSH agent hold it, and say {AGENT}{path}.pub"
        raise VerificationError(f"{path} is no key that we read; if it has a passphrase, {hint}") from e


def chosen_passphrase(_path: Path, environ: Mapping[str, str] = os.environ) -> bytes | None:
    """Return the passphrase that the environment names, itself or the file that has it; None if it names none."""
    if file := environ.get(PASSWORD_FILE):
        return read_passphrase(Path(file))
    password = environ.get(PASSWORD)
    return os.fsencode(password) if password else None


def read_passphrase(path: Path) -> bytes:
    """Read a passphrase from the first line of a file."""
    lines = _read(path).splitlines()
    if not lines or not lines[0]:
        raise VerificationError(f"{path} has no passphrase in its first line")
    return lines[0]


def _agent_key(public: Path) -> Signer:
    from lockgate.drivers.ssh_agent import AgentSigner

    return AgentSigner(ssh_agent(), ssh_key(public))


def ssh_agent() -> "SshAgent":
    """Return the SSH agent of this process."""
    from lockgate.drivers.ssh_agent import SshAgent

    return SshAgent(Path(os.environ.get("SSH_AUTH_SOCK", "/nowhere")))


def ssh_key(path: Path) -> PublicKey:
    """Read an OpenSSH public key."""
    from lockgate.formats.sshsig import SshKey

    return SshKey.parse(_read(path).decode(errors="replace")).public


def _token_key(uri: Pkcs11Uri) -> Signer:
    try:
        from lockgate.drivers.pkcs11 import TokenSigner
    except ImportError as e:
        raise UnavailableError("keys in tokens need python-pkcs11: pip install 'lockgate[hsm]'") from e
    return TokenSigner(uri)


def _remote_key(text: str) -> Signer:
    from lockgate.drivers.securesystemslib import RemoteSigner

    uri, given, public = text.partition(";public=")
    if not given:
        raise VerificationError(f"{uri[:200]!a} does not say which key signs: add ;public=FILE, its public key in PEM")
    return RemoteSigner(uri, PublicKey.from_pem(_read(Path(public))))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except OSError as e:
        raise UnavailableError(f"cannot read {path}: {e.strerror}") from e
    if len(content) > _LARGEST:
        raise VerificationError(f"{path} has more than {_LARGEST} bytes, so it is no key")
    return content
