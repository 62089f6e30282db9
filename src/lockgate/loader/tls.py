"""Who is at the other end of the wire, and who are we? TLS 1.3, for servers and for whoever asks them, or loopback.

    who answers   shows its certificate; with `authorities` it wants one in return (mutual TLS)
    who asks      shows a certificate if it has one; believes `authorities`, or those of the system

`authorities` is a PEM file of certificate authorities, or of single certificates: one that is pinned vouches for itself
and for nobody else. There is no switch that leaves verification out. Who acts is never decided here: an actor is known
by a signed intent, a node by its key.
"""

import ipaddress
import os
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from lockgate.errors import UnavailableError, VerificationError


@dataclass(frozen=True, slots=True)
class Tls:
    """What one side shows, and whom it believes: PEM files."""

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise VerificationError("a TLS certificate and its key go together, and one of the two is not named")


def server_context(tls: Tls) -> ssl.SSLContext:
    """Answer TLS 1.3 with the certificate; with `authorities`, only to whom they vouch for."""
    if tls.certificate is None:
        raise VerificationError("who answers over TLS needs a certificate and its key")
    context = _context(ssl.PROTOCOL_TLS_SERVER, tls)
    context.num_tickets = 0  # nothing is resumed: each handshake looks at the certificates
    if tls.authorities is not None:
        _believe(context, tls.authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: Tls) -> ssl.SSLContext:
    """Ask over TLS 1.3, and only whom `authorities` (or the system's) vouch for under the name that was asked for."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, tls)
    context.hostname_checks_common_name = False
    assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
    if tls.authorities is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _believe(context, tls.authorities)
    return context


def listening(listen: str, *, secured: bool) -> tuple[str, int]:
    """Read `ADDRESS:PORT`; raise `VerificationError` for one that others can reach, unless it is `secured` by TLS."""
    host, _, port = listen.rpartition(":")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise VerificationError(f"listen is written ADDRESS:PORT, not {listen[:80]!a}")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address("127.0.0.1" if bare == "localhost" else bare)
    except ValueError as e:
        raise VerificationError(f"not an IP address to listen at: {bare[:80]!a}") from e
    if not (secured or is_local(bare)):
        raise VerificationError(
            f"{bare} is no loopback address, and there is no TLS: set tls_certificate and tls_key to listen there"
        )
    return bare, int(port)


def is_local(host: str) -> bool:
    """Tell whether `host` (a name, or an address as URLs write it) is this machine and no other."""
    try:
        found = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return host == "localhost"
    return found.is_loopback and getattr(found, "ipv4_mapped", None) is None  # mapped: versions of Python disagree


def explain(error: ssl.SSLError) -> str:
    """Say in words why a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not believed: {error.verify_message}"
    return f"TLS failed: {(error.reason or 'broken off').lower().replace('_', ' ')}"


def check_private(key: Path) -> None:
    """Raise `VerificationError` for a secret that others may read. A group may read root's: mounted secrets are so."""
    try:
        found = key.stat()
    except OSError as e:
        raise UnavailableError(f"cannot read {key}: {e.strerror}") from e
    open_to = stat.S_IMODE(found.st_mode) & (0o037 if found.st_uid == 0 else 0o077)
    if open_to:
        raise VerificationError(f"others may read {key} (mode {stat.S_IMODE(found.st_mode):04o}): chmod 600")
    if found.st_uid not in (0, os.geteuid()):
        raise VerificationError(f"{key} belongs to another user ({found.st_uid})")


def _context(side: int, tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    if tls.certificate is not None and tls.key is not None:
        check_private(tls.key)
        with _reading(tls.certificate):
            context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
    return context


def _believe(context: ssl.SSLContext, authorities: Path) -> None:
    with _reading(authorities):
        context.load_verify_locations(authorities)
    if not context.cert_store_stats()["x509"]:
        raise VerificationError(f"{authorities} holds no certificate")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as e:
        why = (e.reason or "no PEM").lower().replace("_", " ")
        raise VerificationError(f"{path} is no certificate in PEM that fits its key: {why}") from e
    except OSError as e:
        raise UnavailableError(f"cannot read {e.filename or path}: {e.strerror}") from e


def _no_password() -> NoReturn:
    raise VerificationError("the TLS key is encrypted, and a server starts without anybody to ask: store it decrypted")
