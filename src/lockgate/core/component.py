"""Who sealed this component, and which files belong to it?

Two ways to trust a signer: by key, or by a certificate that a trusted authority issued. A bundle says which way it
takes, and the other way is never tried instead. `open_component` is the only way to a `Component`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from lockgate.errors import VerificationError
from lockgate.formats import dsse, oms
from lockgate.formats.certificates import verify_chain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey
from lockgate.formats.oms import FileDigest


@dataclass(frozen=True, slots=True)
class Component:
    """Files that somebody trusted has sealed. Its identity is `dir_hash`."""

    files: tuple[FileDigest, ...]
    dir_hash: Digest
    bundle: Digest  # of the bundle's bytes
    signature_name: str | None  # where in the directory the bundle may lie
    signed_by: PublicKey
    chain: Digest | None = None  # of the certificates up to the root, when an authority vouched
    certificate: Digest | None = None  # of the signer's own


def open_component(bundle: bytes, keys: Iterable[PublicKey], *, roots: Iterable[bytes] = (), at: datetime) -> Component:
    """Return what a trusted signer sealed in the OMS `bundle`; raise `VerificationError` if none did.

    `roots` are certificates of authorities, DER or PEM; a certificate must be valid at `at`.

    Enforces: signed_artifacts
    """
    read = oms.parse(bundle)
    about = (read.files, read.dir_hash, Digest.of(bundle), read.signature_name)
    if read.certificates:
        vouched = verify_chain(read.certificates, roots, at)
        dsse.open_envelope(read.envelope, dsse.IN_TOTO, [vouched.key])
        return Component(*about, vouched.key, vouched.chain, vouched.fingerprint)
    key = dsse.open_envelope(read.envelope, dsse.IN_TOTO, keys).keys[0]
    if read.hint != oms.hint_of(key):
        raise VerificationError(f"bundle names another key ({str(read.hint)[:16]!a}…) than the one that signed it")
    return Component(*about, key)
