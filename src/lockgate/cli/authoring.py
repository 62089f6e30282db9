"""How does an author describe a release? In `release.toml`, which is input for authors only and never trusted.

name = "magika"
version = "1.0.0"
license = "Apache-2.0"
authors = ["alice"]

[components.weights]                 # the name; `kind` is the same unless given
path = "weights"                     # beside this file
signature = "weights.sig"            # made by `lockgate sign`

[contract]
inputs = ["bytes"]
outputs = ["label"]
labels = ["json", "python"]

[serve]
command = ["{python}", "-m", "my_server", "--model", "{model}", "--port", "{port}"]
environment = { OMP_NUM_THREADS = "1" }

[derived_from]                       # only if it was made from other releases
how = "quantised"                    # or pruned, distilled, merged, adapted
parents = { "magika@0.9.0" = "sha256:…" }
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lockgate.core.provider import FILE, parse_provider
from lockgate.core.release import Kind, Manifest
from lockgate.errors import VerificationError
from lockgate.formats import oms, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest


@dataclass(frozen=True, slots=True)
class Draft:
    """A release as its author wrote it down: the manifest, the bundle and the directory of each component.

    `providers` are the documents of its provider models.
    """

    manifest: Manifest
    bundles: Mapping[str, bytes]
    directories: Mapping[str, Path]
    providers: Mapping[str, bytes]


def read_draft(path: Path, at: datetime) -> Draft:
    """Read a `release.toml`; raise `VerificationError` that names what is wrong in it."""
    try:
        written = tomllib.loads(path.read_text())
        components = _table(written, "components")
        bundles = {name: (path.parent / str(_table(components, name)["signature"])).read_bytes() for name in components}
        folders = {name: path.parent / str(_table(components, name)["path"]) for name in components}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise VerificationError(f"{path} is not TOML: {e}") from e
    except RecursionError as e:
        raise VerificationError(f"{path} is nested too deep") from e
    except ValueError as e:
        raise VerificationError(f"{path}: a path holds a NUL") from e
    except KeyError as e:
        raise VerificationError(f"{path}: a component has no {e.args[0]}") from e
    except OSError as e:
        raise VerificationError(f"{path}: cannot read {e.filename}: {e.strerror}; sign the component first") from e
    parts = {name: _part(name, _table(components, name), bundle) for name, bundle in bundles.items()}
    contract = {"inputs": [], "outputs": [], "labels": [], "tools": [], **_table(written, "contract")}
    serve = {"environment": {}, **_table(written, "serve")}
    manifest = {
        **written,
        "type": "release/v1",
        "created_at": plain.to_plain(at),
        "components": parts,
        "contract": {name: _sorted(values) for name, values in contract.items()},
        "serve": serve,
    }
    described = plain.from_plain(Manifest, manifest, str(path))
    return Draft(described, bundles, folders, _providers(described, folders))


def _providers(manifest: Manifest, folders: Mapping[str, Path]) -> Mapping[str, bytes]:
    """Read the document of each provider model; raise `VerificationError` for one that no server would take."""
    documents = {}
    for name, part in manifest.components.items():
        if part.kind is not Kind.PROVIDER_MODEL:
            continue
        path = folders[name] / FILE
        try:
            documents[name] = path.read_bytes()
        except OSError as e:
            raise VerificationError(f"{path}: a provider model is this one file: {e.strerror}") from e
        try:
            parse_provider(documents[name])
        except VerificationError as e:
            raise VerificationError(f"{path}: {e}") from e
    return documents


def _sorted(values: Json) -> Json:
    texts = isinstance(values, list) and all(isinstance(value, str) for value in values)
    return sorted(map(str, values)) if texts and isinstance(values, list) else values


def _part(name: str, written: Mapping[str, Json], bundle: bytes) -> Json:
    sealed = oms.parse(bundle)
    return {"kind": written.get("kind", name), "digest": str(sealed.dir_hash), "bundle": str(Digest.of(bundle))}


def _table(written: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = written.get(name)
    if not isinstance(found, dict):
        raise VerificationError(f"release.toml has no table [{name}]")
    return found
