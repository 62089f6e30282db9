"""Which certificates does a company have, and which are nearly as good? PEM files, as settings name them."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from lockgate.formats.certificates import self_signed
from lockgate.formats.keys import PrivateKey
from lockgate.loader.tls import Tls
from tests.authority import Issued, authority, ec_key, leaf

TODAY = datetime.now(UTC)
HERE = ("localhost", "127.0.0.1")
SERVER, CLIENT = (ExtendedKeyUsageOID.SERVER_AUTH,), (ExtendedKeyUsageOID.CLIENT_AUTH,)


class Files:
    """A folder of certificates: of a company, and of somebody else's authority."""

    def __init__(self, folder):
        self.folder = folder
        self.company = authority("company", at=TODAY)
        self.other = authority("other", at=TODAY)
        self._written = 0

    def write(self, *contents):
        self._written += 1
        path = self.folder / f"{self._written}.pem"
        path.write_bytes(b"".join(contents))
        path.chmod(0o600)
        return path

    def believing(self, *issued):
        """Give the TLS of who believes these and shows nothing."""
        return Tls(authorities=self.write(*(one.pem for one in issued)))

    def shown(self, issued, *chain, authorities=None):
        """Give the TLS of who shows `issued`."""
        certificate = self.write(issued.pem, *(one.pem for one in chain))
        return Tls(certificate, self.write(issued.private_pem), authorities)

    def server(self, by=None, **spoilt):
        return leaf(by or self.company, **{"name": "gate", "hosts": HERE, "at": TODAY, "purposes": SERVER, **spoilt})

    def client(self, by=None, **spoilt):
        return leaf(by or self.company, **{"name": "alice", "at": TODAY, "purposes": CLIENT, **spoilt})

    def alone(self, name, *hosts, days=30, authorities=None):
        """Give the TLS of who shows what `lockgate key certificate` writes."""
        first, last = TODAY + timedelta(days=min(days, 0) - 1), TODAY + timedelta(days=days)
        made = PrivateKey.from_seed(name.encode().ljust(32, b"."))
        return Tls(self.write(self_signed(made, hosts, 7, first, last)), self.write(made.pem), authorities)

    def vouched_for(self, issue):
        """Let a certificate that is no authority issue another one: what shows both, and what is pinned."""
        key = ec_key(77)
        first, last = TODAY - timedelta(days=1), TODAY + timedelta(days=9)
        pem = self_signed(Issued(None, key).signer, HERE, 7, first, last)
        holder = Issued(x509.load_pem_x509_certificate(pem), key)
        return self.shown(issue(holder), holder), holder
