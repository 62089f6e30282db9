"""How does a key sign that lies in a cloud's key management service, or in Vault? By the signers of securesystemslib.

    awskms:KEY   gcpkms:projects/…/cryptoKeyVersions/1   azurekms://VAULT/keys/NAME/VERSION   hv:NAME/VERSION

Each service has a client library of its own, imported when it is wanted; it finds its credentials by itself, as that
service documents. The public key is pinned beside the URI: what the service answers is handed out only after it was
verified. None of these services could be tried where this was written; the way through `Signer` is tested with a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import Signer, SSlibKey

from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.keys import PublicKey

EXTRAS: Mapping[str, str] = MappingProxyType(
    {"awskms": "awskms", "gcpkms": "gcpkms", "azurekms": "azurekms", "hv": "vault"}
)


@dataclass(frozen=True, slots=True)
class RemoteSigner:
    """The key that `uri` means, with its public half (port `Signer`)."""

    uri: str
    public: PublicKey
    _signer: Signer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        scheme = self.uri.partition(":")[0]
        try:
            key = SSlibKey.from_crypto(load_der_public_key(self.public.der), self.public.key_id.hex)
            signer = Signer.from_priv_key_uri(self.uri, key)
        except UnsupportedLibraryError as e:
            extra = EXTRAS.get(scheme, scheme)
            raise UnavailableError(
                f"{scheme} needs a library that is not here: pip install 'securesystemslib[{extra}]'"
            ) from e
        except ValueError as e:
            raise VerificationError(f"not the URI of a key: {self.uri[:200]!a} ({e})") from e
        except Exception as e:
            raise UnavailableError(f"{scheme} does not answer: {type(e).__name__}") from e
        object.__setattr__(self, "_signer", signer)

    def sign(self, message: bytes) -> bytes:
        """Let the service sign `message`; raise `UnavailableError` when it does not."""
        try:
            signature = bytes.fromhex(self._signer.sign(message).signature)
        except Exception as e:
            raise UnavailableError(f"{self.uri.partition(':')[0]} does not sign: {type(e).__name__}") from e
        self.public.verify(signature, message)
        return signature
