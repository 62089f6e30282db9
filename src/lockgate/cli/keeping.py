"""How are keys made, rotated and revoked, and certificates for TLS written? A key is never overwritten."""

import os
from pathlib import Path

import click

from lockgate.cli.revoking import revoke
from lockgate.cli.speaking import EXISTING, FILE, as_json, now, private_key, show
from lockgate.cli.staffing import rotate_key
from lockgate.errors import ConflictError
from lockgate.formats.keys import PublicKey
from lockgate.keyring import read_passphrase
from lockgate.loader.whole_file import write_whole


@click.group()
def key() -> None:
    """Create, rotate and revoke keys; certificates for TLS. What a key is for, the trust document says: one purpose."""


key.add_command(rotate_key)
key.add_command(revoke, "revoke")


@key.command("create")
@click.argument("paths", metavar="PATH…", type=FILE, nargs=-1, required=True)
@click.option(
    "--type", "--algorithm", "algorithm", type=click.Choice(["ed25519", "p256", "p384"]), default="ed25519",
    show_default=True, help="TUF, SSH and browsers know all three; stock OMS tools know p256 and p384.",
)  # fmt: skip
@click.option("--encrypt", is_flag=True, help="Encrypt the file with a passphrase, which is asked for.")
@click.option("--passphrase-file", type=EXISTING, help="Encrypt it with the first line of this file.")
@as_json
def create_keys(
    paths: tuple[Path, ...], algorithm: str, encrypt: bool, passphrase_file: Path | None, json_: bool
) -> None:
    """Create a private key at each PATH (mode 0600) and its public half at PATH.pub.

    An encrypted key asks for its passphrase when it signs, or takes it from LOCKGATE_KEY_PASSWORD or from the file that
    LOCKGATE_KEY_PASSWORD_FILE names.
    """
    places = [place for path in paths for place in (path, path.parent / f"{path.name}.pub")]
    if held := [place for place in places if os.path.lexists(place)]:
        raise ConflictError(f"{held[0]} exists; a key is never overwritten")
    if len({place.absolute() for place in places}) < len(places):
        raise ConflictError("one path is named twice; a key is never overwritten")
    password = _new_passphrase(passphrase_file, encrypt)
    made = {path: _create_key(path, algorithm, password) for path in paths}
    found = [{"path": str(path), "key_id": str(key.key_id), "public_key": str(key)} for path, key in made.items()]
    show(json_, {"keys": found}, *(f"created {one['path']}: {one['key_id']}" for one in found))


@key.command("certificate")
@click.option("--key", "path", type=EXISTING, required=True, help="Private key, PEM: of this certificate only.")
@click.option(
    "--name", "hosts", multiple=True, required=True, help="Host name or address that it is for. May be given again."
)
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long it is valid.")
@click.option("--output", type=FILE, required=True, help="Where the certificate goes, PEM.")
@as_json
def create_certificate(path: Path, hosts: tuple[str, ...], days: int, output: Path, json_: bool) -> None:
    """Write a self-signed certificate for TLS, which the other side pins: small installations need no authority.

    A server or agent shows it (tls_certificate); a host or person that pins it (tls_ca), or a server that pins it
    (tls_clients), believes this certificate alone. Browsers want --algorithm p256 of `lockgate key create`.
    """
    import secrets
    from datetime import timedelta

    from lockgate.formats.certificates import read_certificates, self_signed
    from lockgate.formats.digest import Digest

    first = now().replace(microsecond=0)
    last = first + timedelta(days=days)
    serial = secrets.randbits(158) | 1 << 158  # RFC 5280 §4.1.2.2: positive, at most 20 octets
    pem = self_signed(private_key(path), hosts, serial, first - timedelta(minutes=5), last)
    write_whole(output, pem)
    fingerprint = Digest.of(read_certificates(pem)[0])
    found = {"output": str(output), "fingerprint": str(fingerprint), "names": list(hosts), "until": last.isoformat()}
    show(json_, found, f"{output} is for {', '.join(hosts)} until {last:%Y-%m-%d}: {fingerprint}")


def _new_passphrase(file: Path | None, ask: bool) -> bytes | None:
    if file is not None:
        return read_passphrase(file)
    if not ask:
        return None
    return os.fsencode(click.prompt("passphrase of the new key", hide_input=True, confirmation_prompt=True, err=True))


def _create_key(path: Path, algorithm: str, password: bytes | None) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    curve: ec.EllipticCurve = ec.SECP256R1() if algorithm == "p256" else ec.SECP384R1()
    made = ed25519.Ed25519PrivateKey.generate() if algorithm == "ed25519" else ec.generate_private_key(curve)
    pem = made.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password) if password else NoEncryption()
    )
    public = PublicKey.from_loaded(made.public_key())
    write_whole(path, pem, 0o600)
    write_whole(path.parent / f"{path.name}.pub", public.pem)
    return public
