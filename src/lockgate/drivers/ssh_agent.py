"""How does a person's SSH agent sign, so that the key never comes near us? Intents as SSHSIG, documents as they are.

The agent protocol (draft-ietf-sshm-ssh-agent) over its unix socket, one connection for each question. What the agent
answers is untrusted: a signature is handed out only after it was verified with the key that was asked for.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats.keys import PublicKey
from lockgate.formats.sshsig import Reader, SshKey, armor, from_signer, message_to_sign, open_sshsig

_FAILURE = 5
_REQUEST_IDENTITIES, _IDENTITIES_ANSWER = 11, 12
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14
_MAX_ANSWER = 256 * 1024
_MAX_IDENTITIES = 2048


@dataclass(frozen=True, slots=True)
class Identity:
    """A key that an agent holds, and what its owner calls it."""

    key: SshKey
    comment: str


@dataclass(frozen=True, slots=True)
class SshAgent:
    """The agent that listens at `socket_path` (`SSH_AUTH_SOCK`); its user has `timeout` seconds to confirm or touch."""

    socket_path: Path
    timeout: float = 60

    def identities(self) -> tuple[Identity, ...]:
        """List the keys that the agent holds, leaving out kinds that are not ours (RSA, P-521, certificates)."""
        reader = Reader(self._ask(bytes([_REQUEST_IDENTITIES]), _IDENTITIES_ANSWER, "refused to list its keys"))
        count = reader.number()
        if count > _MAX_IDENTITIES:
            raise VerificationError(f"SSH agent claims {count} keys, more than {_MAX_IDENTITIES}")
        listed = [(reader.string(), reader.string()) for _ in range(count)]
        reader.end()
        return tuple(_usable(listed))

    def sign(self, public: PublicKey, message: bytes, namespace: str) -> str:
        """Let the agent sign `message` with `public`; give the armored SSHSIG.

        Raises `DeniedError` when the agent does not hold the key or its user says no, `UnavailableError` when it does
        not answer, and `VerificationError` when what it answers is not that signature.
        """
        key = self._held(public)
        armored = armor(from_signer(key, namespace, self._sign(key, message_to_sign(message, namespace))))
        open_sshsig(armored, message, namespace, [public])
        return armored

    def sign_bytes(self, public: PublicKey, message: bytes) -> bytes:
        """Let the agent sign `message` itself, as a key file would; raises as `sign` does.

        A security key cannot: it signs what it adds to the message. Nothing that we sign can be taken for a login: DSSE
        and JSON begin otherwise than what SSH signs (RFC 4252 §7).
        """
        key = self._held(public)
        if key.application:
            raise DeniedError(f"{_name(public)} is in a security key, which signs intents only")
        signature = from_signer(key, "bytes", self._sign(key, message)).signature
        public.verify(signature, message)
        return signature

    def _held(self, public: PublicKey) -> SshKey:
        key = next((identity.key for identity in self.identities() if identity.key.public == public), None)
        if key is None:
            raise DeniedError(f"the SSH agent does not hold {_name(public)}: add it with ssh-add, or unlock the agent")
        return key

    def _sign(self, key: SshKey, message: bytes) -> bytes:
        request = bytes([_SIGN_REQUEST]) + _string(key.wire) + _string(message) + bytes(4)
        reader = Reader(self._ask(request, _SIGN_RESPONSE, f"refused to sign with {_name(key.public)}"))
        wire = reader.string()
        reader.end()
        return wire

    def _ask(self, request: bytes, wanted: int, refusal: str) -> bytes:
        with self._connected() as agent:
            agent.sendall(_string(request))
            size = int.from_bytes(_receive(agent, 4), "big")
            if not 1 <= size <= _MAX_ANSWER:
                raise VerificationError(f"SSH agent answers with {size} bytes, not 1 to {_MAX_ANSWER}")
            answer = _receive(agent, size)
        if answer[0] == _FAILURE:
            raise DeniedError(f"the SSH agent {refusal}")
        if answer[0] != wanted:
            raise VerificationError(f"SSH agent answers with message {answer[0]}, not {wanted}")
        return answer[1:]

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.settimeout(self.timeout)
            try:
                agent.connect(str(self.socket_path))
                yield agent
            except OSError as e:
                raise UnavailableError(f"no SSH agent answers at {self.socket_path}: {e.strerror or e}") from e


@dataclass(frozen=True, slots=True)
class AgentSigner:
    """One key of an agent, for documents (port `Signer`)."""

    agent: SshAgent
    public: PublicKey

    def sign(self, message: bytes) -> bytes:
        """Let the agent sign `message`."""
        return self.agent.sign_bytes(self.public, message)


def _name(public: PublicKey) -> str:
    return f"key {public.key_id.hex[:16]}…"


def _usable(listed: list[tuple[bytes, bytes]]) -> Iterator[Identity]:
    for wire, comment in listed:
        try:
            key = SshKey.from_wire(wire)
        except VerificationError:
            continue
        yield Identity(key, comment.decode("utf-8", "replace"))


def _receive(agent: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        part = agent.recv(size - len(received))
        if not part:
            raise UnavailableError("the SSH agent hung up before it had answered")
        received += part
    return bytes(received)


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value
