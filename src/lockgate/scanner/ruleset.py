"""Which rules looked? Their version for people, and the digest of every line of them."""

from functools import cache
from importlib.resources import files

from lockgate.formats.digest import Digest, dir_hash

RULES_VERSION = "1.0.0"


@cache
def rules_digest() -> Digest:
    """Hash the source of this package as a directory: the same wherever it is installed, another after any change."""
    listed = [each for each in files("lockgate.scanner").iterdir() if each.name.endswith(".py")]
    return dir_hash((each.name, Digest.of(each.read_bytes()).hex) for each in listed)
