"""What can be done with nobody else: sign a directory, verify one? Offline."""

from pathlib import Path

import click

from lockgate.cli.speaking import (
    EXISTING,
    FILE,
    KEY,
    WHERE,
    as_json,
    now,
    progress,
    public_key,
    read,
    show,
    signer,
)


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--key", type=KEY, required=True, help=f"Private key (ECDSA P-256, P-384 or Ed25519): {WHERE}.")
@click.option("--signature", type=FILE, required=True, help="Where the bundle goes.")
@click.option("--certificate", type=EXISTING, multiple=True, help="Certificate chain, PEM, the signer's own first.")
@as_json
def sign(directory: Path, key: str, signature: Path, certificate: tuple[Path, ...], json_: bool) -> None:
    """Sign every file of DIRECTORY, names included, into one OpenSSF model-signing (OMS v1.0) bundle.

    The stock `model_signing verify key` accepts what this writes.
    """
    from lockgate.formats.certificates import read_certificates
    from lockgate.loader.directory import sign_directory

    chain = [der for path in certificate for der in read_certificates(read(path))]
    with progress(f"signing {directory}", _bytes_below(directory)) as advance:
        sealed = sign_directory(directory, signer(key), signature, certificates=chain, progress=advance)
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


def _bytes_below(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*") if path.is_file())
