"""Who is asking? Somebody who signed a fresh intent gets a token for a quarter of an hour.

The token is stateless: the claims in canonical JSON, and an HMAC-SHA256 (RFC 2104) of them. It says who may speak,
never what they may do: roles and keys are read from the trust document in force at every request, so whoever is struck
from it, or whose key is, is out at once. What changes something is signed by itself (`core.intent`).

An intent opens one session: its nonce is remembered until it expires, by this process. Another replica would take it
once more within those five minutes, from somebody who could read the wire.
"""

import base64
import binascii
import hashlib
import hmac
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from lockgate.app.installation import Installation
from lockgate.core.intent import SignedIntent, check_intent, open_intent
from lockgate.core.rights import Role, check_right
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name

KEY_SIZE = 32
LIFETIME = timedelta(minutes=15)
FRESH = timedelta(minutes=5)  # how far ahead an intent may expire that opens a session
MAX_TOKEN = 1024
MAX_NONCES = 100_000

_PREFIX = "lockgate-session-"  # so that scanners for lost secrets find it
_PURPOSE = b"lockgate session v1\0"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: who signed the intent, with which key, in which environment, and until when."""

    actor: Name
    environment: Name
    key: Digest
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who may speak, with the roles that they have now."""

    actor: Name
    roles: tuple[Role, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to somebody who signed in."""

    token: str
    expires_at: datetime
    actor: Name
    roles: tuple[Role, ...]


class Sessions:
    """The sessions of one installation. Safe to use from many threads."""

    def __init__(self, installation: Installation, key: bytes) -> None:
        assert len(key) == KEY_SIZE, "a short key can be guessed"
        self._installation = installation
        self._key = key
        self._lock = threading.Lock()
        self._nonces: dict[tuple[Name, str], datetime] = {}

    def open(self, signed: SignedIntent, now: datetime) -> Opened:
        """Open a session; raise `VerificationError` for somebody unknown, `DeniedError` for a stale or used intent."""
        said = open_intent(signed, self._installation.trust().document, now)
        check_right("session.open", said.actor.roles, said.actor.name)
        check_intent(said, "session.open", self._installation.environment, before=None, after=None)
        if said.intent.expires > now + FRESH:
            raise DeniedError(f"an intent that opens a session expires within {FRESH}, not at {said.intent.expires}")
        self._use(said.actor.name, said.intent.nonce, said.intent.expires, now)
        claims = Claims(said.actor.name, self._installation.environment, said.key.key_id, now + LIFETIME)
        return Opened(self._seal(claims), claims.expires_at, said.actor.name, said.actor.roles)

    def find(self, token: str, now: datetime) -> Session:
        """Return whose token this is; raise `VerificationError` for anything that is not a token in force."""
        claims = self._unseal(token)
        if claims.expires_at <= now or claims.environment != self._installation.environment:
            raise VerificationError("the token is expired, or of another environment")
        actor = self._installation.trust().document.actor(claims.actor, now)
        if all(key.key_id != claims.key for key in actor.keys):
            raise VerificationError("the key that opened the session is no longer trusted")
        return Session(actor.name, actor.roles, claims.expires_at)

    def _use(self, actor: Name, nonce: str, until: datetime, now: datetime) -> None:
        with self._lock:
            self._nonces = {used: end for used, end in self._nonces.items() if end > now}
            if (actor, nonce) in self._nonces:
                raise DeniedError("this intent has opened a session already: sign another one")
            if len(self._nonces) >= MAX_NONCES:
                raise UnavailableError("too many sessions were opened in the last minutes")
            self._nonces[actor, nonce] = until

    def _seal(self, claims: Claims) -> str:
        payload = plain.encode(claims)
        return f"{_PREFIX}{_write(payload)}.{_write(self._mac(payload))}"

    def _unseal(self, token: str) -> Claims:
        prefix, found, rest = token.partition(_PREFIX)
        payload, dot, mac = rest.partition(".")
        if prefix or not found or not dot or len(token) > MAX_TOKEN:
            raise VerificationError("not a token")
        claimed = _read(payload)
        if not hmac.compare_digest(_read(mac), self._mac(claimed)):
            raise VerificationError("the token is not ours")
        return plain.decode(Claims, claimed)

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, _PURPOSE + payload, hashlib.sha256)


def _write(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _read(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as e:
        raise VerificationError("the token is not base64") from e
