"""Which object of which token does a text mean? PKCS#11 URIs (RFC 7512).

    pkcs11:token=release;object=signer?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/lockgate/pin

The path says which object, the query how to reach it. What belongs into the query may also be written after `;`, which
is easier to quote. A PIN never stands in the text itself (`pin-value`): command lines and settings are read by others.
"""

import re
import string
from dataclasses import dataclass
from typing import Self

from lockgate.errors import VerificationError

SCHEME = "pkcs11:"
MAX_TEXT = 1024

_FIELDS = {
    "token": "token",
    "manufacturer": "manufacturer",
    "model": "model",
    "serial": "serial",
    "object": "label",
    "id": "id",
    "module-path": "module_path",
    "pin-source": "pin_source",
}
_QUERY = ("module-path", "pin-source")
_KIND = "type"  # RFC 7512 §2.3; we choose the class of the object ourselves, so it is read and forgotten
_KINDS = ("public", "cert", "private", "secret-key", "data")
_PLAIN = string.ascii_letters + string.digits + "-._~:[]@!$'()*+,="
_PIECE = re.compile(r"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9\-._~:\[\]@!$'()*+,=/])*")


@dataclass(frozen=True, slots=True)
class Pkcs11Uri:
    """A token, the module that reaches it, the file that has its PIN, and an object in it.

    `label` is `CKA_LABEL`, `id` is `CKA_ID`. Without both, the token as a whole is meant.
    """

    token: str
    module_path: str
    label: str | None = None
    id: bytes | None = None
    pin_source: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    serial: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URI; raise `VerificationError` for anything else."""
        if not text.startswith(SCHEME) or len(text) > MAX_TEXT:
            raise VerificationError(f"not a PKCS#11 URI like pkcs11:token=…;object=…: {text[:40]!a}")
        path, _, query = text.removeprefix(SCHEME).partition("?")
        found: dict[str, bytes] = {}
        for piece in (*filter(None, path.split(";")), *filter(None, query.split("&"))):
            name, value = _attribute(piece)
            if name in found:
                raise VerificationError(f"PKCS#11 URI says {name} twice")
            found[name] = value
        if found.pop(_KIND, b"private").decode() not in _KINDS:
            raise VerificationError("PKCS#11 URI names a type of object that there is not")
        return cls._of(found)

    @classmethod
    def _of(cls, found: dict[str, bytes]) -> Self:
        if missing := [name for name in ("token", "module-path") if name not in found]:
            raise VerificationError(f"PKCS#11 URI says no {missing[0]}")
        id_ = found.pop("id", None)
        texts = {_FIELDS[name]: _text(name, value) for name, value in found.items()}
        if "pin_source" in texts:
            texts["pin_source"] = _file(texts["pin_source"])
        return cls(**texts, id=id_)

    def __str__(self) -> str:
        """Write the URI in one way: path attributes, then the query."""
        values = {name: getattr(self, field) for name, field in _FIELDS.items()}
        if self.pin_source is not None:
            values["pin-source"] = f"file:{self.pin_source}"
        written = {name: _write(name, value) for name, value in values.items() if value is not None}
        path = ";".join(f"{name}={value}" for name, value in written.items() if name not in _QUERY)
        query = "&".join(f"{name}={written[name]}" for name in _QUERY if name in written)
        return f"{SCHEME}{path}?{query}"


def _attribute(piece: str) -> tuple[str, bytes]:
    name, equals, value = piece.partition("=")
    if name == "pin-value":
        raise VerificationError("PKCS#11 URI holds a PIN (pin-value): put it into a file, and say pin-source=file:…")
    if not equals or name not in (*_FIELDS, _KIND):
        raise VerificationError(f"PKCS#11 URI says {name[:40]!a}, which is not understood here")
    if not _PIECE.fullmatch(value):
        raise VerificationError(f"PKCS#11 URI: {name} holds a character that must be written as %XX")
    return name, re.sub(rb"%(..)", lambda found: bytes.fromhex(found[1].decode()), value.encode())


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError as e:
        raise VerificationError(f"PKCS#11 URI: {name} is not UTF-8") from e
    if not text or "\0" in text:
        raise VerificationError(f"PKCS#11 URI: {name} is empty, or holds a NUL")
    return text


def _file(text: str) -> str:
    path = text.removeprefix("file:").removeprefix("//")
    if not path.startswith("/"):
        raise VerificationError("PKCS#11 URI: pin-source is an absolute path, or file: and one")
    return path


def _write(name: str, value: str | bytes) -> str:
    plain = _PLAIN + "/" if name in _QUERY else _PLAIN
    if isinstance(value, bytes):
        return "".join(f"%{byte:02X}" for byte in value)
    letters = (byte.to_bytes().decode("latin-1") for byte in value.encode())
    return "".join(letter if letter in plain else f"%{ord(letter):02X}" for letter in letters)
