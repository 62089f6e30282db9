"""What can be done with nobody else: sign a directory, verify one? Offline."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lockgate.cli.pinned import RULES, pinned
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
from lockgate.core.release import Kind

if TYPE_CHECKING:
    from lockgate.core.release import Trusted
    from lockgate.core.revocation import Revocations


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
@click.option("--trust", "where", type=RULES, help="Or the trust of an environment: a host's HOME, or its updates.")
@click.option(
    "--kind", type=click.Choice([kind.value for kind in Kind]), help="With --trust: which kind of component this is."
)
@click.option("--pinned", "pin", type=EXISTING, help="With a folder of updates: the root you pinned (JSON).")
@click.option("--deep", is_flag=True, help="Check whole-file digests besides chunk digests.")
@as_json
def verify(directory: Path, signature: Path, deep: bool, json_: bool, **whom: Any) -> None:
    """Verify that DIRECTORY holds exactly the files that a trusted signer signed; exit 4 names the one that differs.

    With --trust, the signer must be trusted for that kind of component in the environment, and neither its key nor a
    release that the directory is part of may be revoked (exit 3). What the host knows must be fresh.
    """
    from lockgate.loader.directory import verify_directory

    trusted, revoked = _trusted(**whom)
    with progress(f"verifying {directory}", _bytes_below(directory)) as advance:
        component = verify_directory(directory, signature, trusted, at=now(), deep=deep, progress=advance)
    if revoked is not None:
        revoked.check_key(component.signed_by)
        revoked.check_component(component.dir_hash)
    found = {
        "digest": str(component.dir_hash),
        "files": len(component.files),
        "signed_by": str(component.signed_by.key_id),
    }
    show(json_, found, f"verified {len(component.files)} files of {directory}: {component.dir_hash}")


def _trusted(
    keys: tuple[Path, ...], roots: tuple[Path, ...], where: Path | None, kind: str | None, pin: Path | None
) -> "tuple[Trusted, Revocations | None]":
    """Say who may have signed: the keys and authorities that were named, or those of an environment."""
    from lockgate.core.release import Trusted

    if where is None:
        if not keys and not roots:
            raise click.UsageError("say whom you trust: --public-key, --root or --trust")
        return Trusted(tuple(public_key(path) for path in keys), tuple(read(path) for path in roots)), None
    if keys or roots or kind is None:
        raise click.UsageError("--trust goes with --kind, and with neither --public-key nor --root")
    held = pinned(where, pin)
    trust = held.revoked.applied(held.trust.document)
    return trust.component_signers(now())[Kind(kind)], held.revoked


def _bytes_below(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*") if path.is_file())
