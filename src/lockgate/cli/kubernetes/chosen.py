"""What is chosen for a cluster, and how is a choice written where Helm makes it later?

Every object is made once, from texts. For kustomize they are the chosen ones; for Helm they are the places where its
templates put what `values.yaml` says, which `values.schema.json` allows to be nothing else than what is allowed here.
"""

import base64
import re
from dataclasses import dataclass, fields

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lockgate.core.pod import image_digest
from lockgate.errors import VerificationError
from lockgate.formats.names import Name

PATTERNS = {
    "image": r"^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*@sha256:[0-9a-f]{64}$",
    "environment": r"^[a-z0-9][a-z0-9-]{0,62}$",
    "models": r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    "gateway": r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    "authority": r"^[A-Za-z0-9+/]+={0,2}$",
}
MEANS = {
    "image": "Lockgate's own image, by its digest",
    "environment": "the environment that this installation is",
    "models": "the namespace in which releases serve",
    "gateway": "the namespace from which requests come to them",
    "authority": "who vouches for the certificate of the webhook (PEM, in base64)",
}
_OURS = {"lockgate", "lockgate-nodes", "default", "kube-system", "kube-public", "kube-node-lease"}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What differs from one cluster to the next."""

    image: str
    environment: str
    models: str
    gateway: str
    authority: str

    def check(self) -> None:
        """Raise `VerificationError` for what no cluster takes, or what would not be what it says."""
        image_digest(self.image)
        Name(self.environment)
        for name, pattern in PATTERNS.items():
            if not re.fullmatch(pattern, getattr(self, name)):
                raise VerificationError(f"{name} is not {MEANS[name]}: {getattr(self, name)[:80]!a}")
        if self.models in _OURS or self.models == self.gateway:
            raise VerificationError(f"releases serve in a namespace of their own, not in {self.models}")


def for_helm() -> Chosen:
    """Give the places that Helm fills in."""
    return Chosen(**{field.name: f"{{{{ .Values.{field.name} }}}}" for field in fields(Chosen)})


def authority_of(pem: bytes) -> str:
    """Write certificates as a webhook configuration holds them; raise `VerificationError` for anything else."""
    if b"PRIVATE KEY" in pem:
        raise VerificationError("the file holds a private key: only the certificate goes to the cluster")
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as e:
        raise VerificationError("the authority is no certificate in PEM") from e
    written = b"".join(each.public_bytes(Encoding.PEM) for each in found)
    return base64.b64encode(written).decode()
