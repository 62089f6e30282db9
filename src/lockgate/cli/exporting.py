"""How does a release leave its environment? With its passport and its files, decrypted here, in one file.

The server gives ciphertext, and the keys sealed to a key that is made for this one question; that somebody took them is
in its log. What is written is plaintext, as every other environment encrypts with keys of its own.
"""

import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from lockgate.core.box import Occasion, sealing_key, unseal
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag
from lockgate.formats.oms import FileDigest
from lockgate.loader.connection import Connection, ServerSource
from lockgate.loader.verified_read import copy_verified


def open_keys(connection: Connection, tag: Tag, release: Digest) -> Mapping[Digest, bytes]:
    """Ask for the data keys of a release; they come sealed to a key that nobody else has."""
    key = X25519PrivateKey.generate()
    seal_to = sealing_key(key)
    intent = connection.intend("release.open-keys", tag, before=release, after=Digest.of(seal_to.encode()))
    answer = connection.act(f"/api/v1/releases/{tag.name}/{tag.version}/keys", intent, seal_to=seal_to)
    return unseal(str(answer["keys"]), key, Occasion(connection.actor, intent.nonce, release))


def write_bundle(
    path: Path, passport: bytes, files: Iterable[FileDigest], source: ServerSource, advance: Callable[[int], None]
) -> None:
    """Write a zip file with the passport and every file, each checked as it comes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as bundle:
        bundle.writestr("passport.json", passport)
        for file in files:
            with (
                closing(source.open("bundle", file)) as stream,
                bundle.open(f"sha256/{file.sha256.hex}", "w", force_zip64=True) as member,
            ):

                def write(piece: memoryview, member: IO[bytes] = member) -> None:
                    member.write(piece)
                    advance(len(piece))

                copy_verified(stream.readinto, file, write, component="bundle")
