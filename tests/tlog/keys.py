"""Which keys sign in these tests? Those that RFC 8032 §7.1 publishes as tests 1 and 2."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lockgate.tlog.note import NoteSigner

ORIGIN = "log.example/acme/changes"

_FIRST = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
_SECOND = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")


def signer(name: str = ORIGIN, *, second: bool = False) -> NoteSigner:
    key = Ed25519PrivateKey.from_private_bytes(_SECOND if second else _FIRST)
    return NoteSigner(name, key.sign, key.public_key().public_bytes_raw())
