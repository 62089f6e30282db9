"""What can be done with nobody else: sign a directory, verify one, make keys? Offline."""

import os
from pathlib import Path

import click

from lockgate.cli.speaking import (
    EXISTING,
    FILE,
    as_json,
    now,
    private_key,
    progress,
    public_key,
    read,
    show,
)
from lockgate.errors import ConflictError
from lockgate.formats.keys import PublicKey
from lockgate.loader.whole_file import write_whole


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--key", type=EXISTING, required=True, help="Private key, PEM (ECDSA P-256, P-384 or Ed25519).")
@click.option("--signature", type=FILE, required=True, help="Where the bundle goes.")
@click.option("--certificate", type=EXISTING, multiple=True, help="Certificate chain, PEM, the signer's own first.")
@as_json
def sign(directory: Path, key: Path, signature: Path, certificate: tuple[Path, ...], json_: bool) -> None:
    """Sign every file of DIRECTORY, names included, into one OpenSSF model-signing (OMS v1.0) bundle.

    The stock `model_signing verify key` accepts what this writes.
    """
    from lockgate.formats.certificates import read_certificates
    from lockgate.loader.directory import sign_directory

    chain = [der for path in certificate for der in read_certificates(read(path))]
    with progress(f"signing {directory}", _bytes_below(directory)) as advance:
        sealed = sign_directory(directory, private_key(key), signature, certificates=chain, progress=advance)
    found = {"digest": str(sealed.dir_hash), "files": len(sealed.files), "signature": str(signature)}
    show(json_, found, f"signed {len(sealed.files)} files of {directory} as {sealed.dir_hash}")


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--signature", type=EXISTING, required=True, help="The bundle.")
@click.option("--public-key", "keys", type=EXISTING, multiple=True, help="Trusted public key, PEM. May be given again.")
@click.option(
    "--root", "roots", type=EXISTING, multiple=True, help="Trusted certificate root, PEM. May be given again."
)
@click.option("--deep", is_flag=True, help="Check whole-file digests besides chunk digests.")
@as_json
def verify(
    directory: Path, signature: Path, keys: tuple[Path, ...], roots: tuple[Path, ...], deep: bool, json_: bool
) -> None:
    """Verify that DIRECTORY holds exactly the files that a trusted signer signed; exit 4 names the one that differs."""
    from lockgate.core.release import Trusted
    from lockgate.loader.directory import verify_directory

    if not keys and not roots:
        raise click.UsageError("say whom you trust: --public-key or --root")
    trusted = Trusted(tuple(public_key(path) for path in keys), tuple(read(path) for path in roots))
    with progress(f"verifying {directory}", _bytes_below(directory)) as advance:
        component = verify_directory(directory, signature, trusted, at=now(), deep=deep, progress=advance)
    found = {
        "digest": str(component.dir_hash),
        "files": len(component.files),
        "signed_by": str(component.signed_by.key_id),
    }
    show(json_, found, f"verified {len(component.files)} files of {directory}: {component.dir_hash}")


@click.group()
def key() -> None:
    """Create keys, and certificates for TLS. A key serves one purpose; which one, the trust document says."""


@key.command("create")
@click.argument("paths", metavar="PATH…", type=FILE, nargs=-1, required=True)
@click.option("--algorithm", type=click.Choice(["ed25519", "p256", "p384"]), default="ed25519", show_default=True)
@as_json
def create_keys(paths: tuple[Path, ...], algorithm: str, json_: bool) -> None:
    """Create a private key at each PATH (mode 0600) and its public half at PATH.pub."""
    places = [place for path in paths for place in (path, path.parent / f"{path.name}.pub")]
    if held := [place for place in places if os.path.lexists(place)]:
        raise ConflictError(f"{held[0]} exists; a key is never overwritten")
    if len({place.absolute() for place in places}) < len(places):
        raise ConflictError("one path is named twice; a key is never overwritten")
    made = {path: _create_key(path, algorithm) for path in paths}
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


def _create_key(path: Path, algorithm: str) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from lockgate.formats.keys import PrivateKey

    curve: ec.EllipticCurve = ec.SECP256R1() if algorithm == "p256" else ec.SECP384R1()
    made = ed25519.Ed25519PrivateKey.generate() if algorithm == "ed25519" else ec.generate_private_key(curve)
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = PrivateKey.from_pem(pem).public
    write_whole(path, pem, 0o600)
    write_whole(path.parent / f"{path.name}.pub", public.pem)
    return public


def _bytes_below(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*") if path.is_file())
