"""How are key-encryption keys kept in a token (HSM, SoftHSM), where they are made, and which they never leave?

Each is an AES-256 key, sensitive and not extractable, with the label `lockgate/ENVIRONMENT/LABEL`; the token encrypts
and decrypts with it (AES-GCM, so that a wrap is bound to its file). One that was destroyed leaves an object, `…/gone`.

A login is of the whole process, and so is a logout: a session that finds no key is opened once more before the key
counts as missing. Some tokens answer a wrong tag with "general error", which could mean anything. Then the key is tried
on something else: if that works, it was the wrap; if not, it is the token, and nothing is known.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import pkcs11
from pkcs11 import Attribute, Mechanism, MechanismFlag, ObjectClass
from pkcs11.mechanisms import GCMParams
from pkcs11.types import DecryptMixin, EncryptMixin

from lockgate.core.wrap import NONCE, Kek, Wrap, binding, destroyed, not_for
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.formats.pkcs11_uri import Pkcs11Uri

_KEY = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True}
_USE = MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT
_BITS, _TAG_BITS = 256, 128
_BAD_WRAP = (pkcs11.EncryptedDataInvalid, pkcs11.EncryptedDataLenRange)


class Pkcs11Vault:
    """Port `Vault`, kept in the token that `uri` names, for one environment; its PIN is in a file."""

    def __init__(self, uri: Pkcs11Uri, environment: Name) -> None:
        if uri.label is not None or uri.id is not None:
            raise VerificationError("a vault is a whole token: its URI names no object")
        self._uri, self._environment = uri, environment
        self._lock = Lock()
        self._session: pkcs11.Session | None = None
        with self._use():
            pass

    @property
    def assurance(self) -> str:
        """Say which token it is, as it says itself."""
        with self._use() as session:
            token = session.token
            made = " ".join(f"{token.manufacturer_id} {token.model}".split())
        return (
            f"PKCS#11 token {self._uri.token!r} ({made}): keys are made in it and cannot be taken out; "
            "one that is destroyed is as gone as the token and its backups make it"
        )

    def wrap(self, kek: Kek, blob: Digest, key: bytes) -> Wrap:
        """Let the token encrypt a data key, under a key that is there, or that it makes now."""
        with self._use() as session:
            found = self._keys(session, kek) or self._keys(self._again(), kek)
            secret = found[0] if found else self._make(kek)
            return Wrap(kek, _encrypt(secret, key, binding(kek, blob)))

    def unwrap(self, wrap: Wrap, blob: Digest) -> bytes:
        """Let the token decrypt a data key."""
        with self._use() as session:
            found = self._keys(session, wrap.kek) or self._keys(self._again(), wrap.kek)
            if not found:
                raise UnavailableError(f"the token {self._uri.token!r} has no key {wrap.kek}")
            for secret in found:
                key = _decrypt(secret, wrap.wrapped, binding(wrap.kek, blob))
                if key is not None:
                    return key
        raise not_for(wrap.kek, blob)

    def destroy(self, kek: Kek) -> None:
        """Leave word in the token that the key is gone, then let the token destroy it."""
        with self._use() as session:
            if not self._is_gone(session, kek):
                template = {Attribute.CLASS: ObjectClass.DATA, Attribute.LABEL: self._gone(kek)}
                kept = {Attribute.TOKEN: True, Attribute.PRIVATE: True, Attribute.VALUE: b"destroyed"}
                session.create_object({**template, **kept})
            for secret in self._found(session, kek):
                secret.destroy()

    def _keys(self, session: pkcs11.Session, kek: Kek) -> list[pkcs11.SecretKey]:
        """Find the keys of this label: one, or more if two servers made it at the same moment."""
        if self._is_gone(session, kek):
            raise destroyed(kek)
        return self._found(session, kek)

    def _found(self, session: pkcs11.Session, kek: Kek) -> list[pkcs11.SecretKey]:
        wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: self._label(kek)}
        return [found for found in session.get_objects(wanted) if isinstance(found, pkcs11.SecretKey)]

    def _is_gone(self, session: pkcs11.Session, kek: Kek) -> bool:
        return bool(list(session.get_objects({Attribute.CLASS: ObjectClass.DATA, Attribute.LABEL: self._gone(kek)})))

    def _make(self, kek: Kek) -> pkcs11.SecretKey:
        assert self._session is not None
        return self._session.generate_key(
            pkcs11.KeyType.AES, _BITS, label=self._label(kek), store=True, template=_KEY, capabilities=_USE
        )

    def _label(self, kek: Kek) -> str:
        return f"lockgate/{self._environment}/{kek}"

    def _gone(self, kek: Kek) -> str:
        return f"{self._label(kek)}/gone"

    @contextmanager
    def _use(self) -> Iterator[pkcs11.Session]:
        """Give the session to one thread at a time; one that failed is opened anew for the next."""
        with self._lock:
            try:
                if self._session is None:
                    self._session = self._open()
                yield self._session
            except (pkcs11.PKCS11Error, OSError) as e:
                self._close()
                raise UnavailableError(f"the token {self._uri.token!r} does not answer: {type(e).__name__}") from e

    def _again(self) -> pkcs11.Session:
        """Open the session once more: whoever else in this process logged out did so for all, and hid our keys."""
        self._close()
        self._session = self._open()
        return self._session

    def _open(self) -> pkcs11.Session:
        uri = self._uri
        known = {"token_label": uri.token, "token_serial": uri.serial.encode() if uri.serial else None}
        token = pkcs11.lib(uri.module_path).get_token(**{name: value for name, value in known.items() if value})
        pin = Path(uri.pin_source).read_text(encoding="utf-8").strip() if uri.pin_source else None
        try:
            return token.open(rw=True, user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:  # a login is of the whole program, not of a session (PKCS#11 §5.6)
            return token.open(rw=True)

    def _close(self) -> None:
        session, self._session = self._session, None
        try:
            if session is not None:
                session.close()
        except pkcs11.PKCS11Error:
            pass  # it was lost already


def _encrypt(secret: pkcs11.SecretKey, key: bytes, aad: bytes) -> bytes:
    assert isinstance(secret, EncryptMixin)
    nonce = secrets.token_bytes(NONCE)
    found = secret.encrypt(key, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, aad, _TAG_BITS))
    assert isinstance(found, bytes)
    return nonce + found


def _decrypt(secret: pkcs11.SecretKey, wrapped: bytes, aad: bytes) -> bytes | None:
    """Return what was wrapped, None if it was not wrapped by this key with this `aad`."""
    if len(wrapped) < NONCE + _TAG_BITS // 8:
        return None
    try:
        return _try(secret, wrapped, aad)
    except _BAD_WRAP:
        return None
    except pkcs11.GeneralError:
        _try(secret, _encrypt(secret, bytes(1), aad), aad)
        return None


def _try(secret: pkcs11.SecretKey, wrapped: bytes, aad: bytes) -> bytes:
    assert isinstance(secret, DecryptMixin)
    parameters = GCMParams(wrapped[:NONCE], aad, _TAG_BITS)
    found = secret.decrypt(wrapped[NONCE:], mechanism=Mechanism.AES_GCM, mechanism_param=parameters)
    assert isinstance(found, bytes)
    return found
