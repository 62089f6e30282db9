"""Which files did somebody seal? OMS v1.0 bundles (OpenSSF model-signing-spec v1.0), to bytes and back.

    Sigstore bundle v0.3
    ├── verificationMaterial    publicKey.hint, or a certificate chain
    └── dsseEnvelope, of an in-toto Statement v1
        ├── subject             sha256: the OMS root    dirHash: in-toto's, over the same files
        └── predicate           resources: name, digest, annotations of ours {size, chunks}; serialization

The OMS root does not bind file names, so what identifies a directory is its dirHash. The chunk digests let a reader
check any part of a file by itself. A `Bundle` is well formed and agrees with itself; nobody has checked its signature.

Bundles of others may ignore less here than they claim: a path that is ignored is one that may hold anything, so only
the signature's own file is ever left out. The four names that model-signing 1.1.1 always lists are read, not obeyed.
"""

import base64
import binascii
import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lockgate.errors import VerificationError
from lockgate.formats import canonical, dsse
from lockgate.formats.canonical import Json
from lockgate.formats.certificates import key_of as certificate_key
from lockgate.formats.digest import Digest, dir_hash
from lockgate.formats.keys import PublicKey, Signer

CHUNK = 64 << 20
MAX_BYTES = 64 << 20  # about 150,000 files
MAX_CERTIFICATES = 8
MAX_PARTS = 64
MAX_NAME = 1024

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_NOT_OBEYED = (".git", ".gitattributes", ".github", ".gitignore")
_CHUNK_SIZES = range(64 << 10, (1 << 30) + 1)


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file by its name and content. A bundle of another tool knows neither `size` nor `chunks`."""

    name: str
    sha256: Digest
    size: int | None = None
    chunk_size: int | None = None
    chunks: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that agrees with itself. It proves nothing: its signature is not checked yet."""

    envelope: dsse.Envelope
    subject: str
    files: tuple[FileDigest, ...]
    root: Digest
    dir_hash: Digest
    signature_name: str | None  # where in the directory this bundle may lie: the one file it does not cover
    hint: str | None  # SHA-256 of the PEM of the key, as model-signing writes it
    certificates: tuple[bytes, ...]  # DER, the signer's first


def seal(
    files: Iterable[FileDigest],
    signer: Signer,
    *,
    certificates: Sequence[bytes] = (),
    signature_name: str | None = None,
    subject: str = "model",
) -> bytes:
    """Sign `files`; `certificates` (DER, the signer's first) vouch for the signer's key."""
    if certificates and certificate_key(certificates[0]) != signer.public:
        raise VerificationError("the first certificate is about another key than the signer's")
    listed = sorted(files, key=lambda file: file.name)
    check_names(file.name for file in listed)
    digest = {"sha256": _root(listed).hex, "dirHash": _dir_hash(listed).hex}
    serialization: dict[str, Json] = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [] if signature_name is None else [signature_name],
    }
    statement: dict[str, Json] = {
        "_type": _STATEMENT,
        "subject": [{"name": subject, "digest": digest}],
        "predicateType": _PREDICATE,
        "predicate": {"serialization": serialization, "resources": [_write_resource(file) for file in listed]},
    }
    envelope = dsse.sign(canonical.encode(statement), dsse.IN_TOTO, [signer])
    bundle: dict[str, Json] = {
        "mediaType": _BUNDLE,
        "verificationMaterial": _write_material(signer.public, certificates),
        "dsseEnvelope": envelope.to_json(),
    }
    sealed = canonical.encode(bundle)
    parse(sealed)  # what we would refuse to read, we do not write
    return sealed


def parse(data: bytes) -> Bundle:
    """Read a bundle; raise `VerificationError` unless it is well formed and agrees with itself."""
    bundle = _members(canonical.parse(data, limit=MAX_BYTES), "bundle", _BUNDLE_MEMBERS)
    if bundle["mediaType"] != _BUNDLE:
        raise VerificationError(f"bundle is {str(bundle['mediaType'])[:80]!a}, not {_BUNDLE}")
    hint, certificates = _read_material(bundle["verificationMaterial"])
    envelope = _read_envelope(bundle["dsseEnvelope"])
    statement = _members(canonical.parse(envelope.payload, limit=MAX_BYTES), "statement", _STATEMENT_MEMBERS)
    for member, wanted in (("_type", _STATEMENT), ("predicateType", _PREDICATE)):
        if statement[member] != wanted:
            raise VerificationError(f"statement's {member} is {str(statement[member])[:80]!a}, not {wanted}")
    predicate = _members(statement["predicate"], "predicate", {"resources", "serialization"})
    files = tuple(_read_resource(resource) for resource in _items(predicate["resources"], "resources"))
    check_names(file.name for file in files)
    signature_name = _read_serialization(predicate["serialization"])
    if signature_name is not None:
        check_names([signature_name, *(file.name for file in files)])
    subject, root, directory = _read_subject(statement["subject"], files)
    return Bundle(envelope, subject, files, root, directory, signature_name, hint, certificates)


def check_name(name: str) -> None:
    """Raise `VerificationError` unless `name` is a relative POSIX path that looks like what it is."""
    parts = name.split("/")
    if len(parts) > MAX_PARTS or len(name.encode(errors="replace")) > MAX_NAME:
        raise VerificationError(f"file name is longer than {MAX_NAME} bytes or {MAX_PARTS} parts: {name[:80]!a}")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name:
        raise VerificationError(f"file name is not a relative path inside the directory: {name[:200]!a}")
    if name.isascii() and name.isprintable():
        return
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp") for letter in name):
        raise VerificationError(f"file name holds a control or invisible character: {name[:200]!a}")
    if not unicodedata.is_normalized("NFC", name):
        raise VerificationError(f"file name is not in Unicode's composed form (NFC): {name[:200]!a}")


def check_names(names: Iterable[str]) -> None:
    """Check each name, and that all of them can lie side by side on any file system."""
    folded: dict[str, str] = {}
    for name in names:
        check_name(name)
        key = unicodedata.normalize("NFC", name.casefold())
        if key in folded:
            raise VerificationError(f"two files have one name: {folded[key][:200]!a} and {name[:200]!a}")
        folded[key] = name
    for key, name in folded.items():
        for end in (at for at, letter in enumerate(key) if letter == "/"):
            if key[:end] in folded:
                raise VerificationError(f"{folded[key[:end]][:200]!a} is a file and the directory of {name[:200]!a}")


def hint_of(key: PublicKey) -> str:
    """Name a key as model-signing 1.1.1 does: the SHA-256 of its PEM."""
    return hashlib.sha256(key.pem).hexdigest()


_BUNDLE_MEMBERS = {"mediaType", "verificationMaterial", "dsseEnvelope"}
_STATEMENT_MEMBERS = {"_type", "subject", "predicateType", "predicate"}
_PROOFS = {"publicKey", "x509CertificateChain", "certificate"}


def _root(files: Iterable[FileDigest]) -> Digest:
    return Digest.of(b"".join(file.sha256.raw for file in files))


def _dir_hash(files: Iterable[FileDigest]) -> Digest:
    return dir_hash((file.name, file.sha256.hex) for file in files)


def _write_resource(file: FileDigest) -> Json:
    resource: dict[str, Json] = {"name": file.name, "algorithm": "sha256", "digest": file.sha256.hex}
    if file.chunk_size is not None:
        resource["annotations"] = {
            "size": file.size,
            "chunkSize": file.chunk_size,
            "chunkAlgorithm": "sha256",
            "chunks": base64.b64encode(b"".join(file.chunks)).decode(),
        }
    return resource


def _write_material(key: PublicKey, certificates: Sequence[bytes]) -> Json:
    if certificates:
        chain = [{"rawBytes": base64.b64encode(der).decode()} for der in certificates]
        return {"x509CertificateChain": {"certificates": chain}, "tlogEntries": []}
    return {"publicKey": {"hint": hint_of(key)}, "tlogEntries": []}


def _read_material(value: Json) -> tuple[str | None, tuple[bytes, ...]]:
    material = _members(value, "verificationMaterial", set(), _PROOFS | {"tlogEntries", "timestampVerificationData"})
    if not isinstance(material.get("tlogEntries", []), list):
        raise VerificationError("tlogEntries is not a list")
    if len(material.keys() & _PROOFS) != 1:
        raise VerificationError(f"verificationMaterial must hold exactly one of {', '.join(sorted(_PROOFS))}")
    if "publicKey" in material:
        return _text(_members(material["publicKey"], "publicKey", {"hint"}), "hint"), ()
    if "certificate" in material:
        if not material.get("tlogEntries"):
            raise VerificationError("a keyless bundle without tlogEntries")
        return None, (_certificate(material["certificate"]),)
    chain = _members(material["x509CertificateChain"], "x509CertificateChain", {"certificates"})
    listed = _items(chain["certificates"], "certificates")
    if len(listed) > MAX_CERTIFICATES:
        raise VerificationError(f"chain has {len(listed)} certificates, more than {MAX_CERTIFICATES}")
    return None, tuple(_certificate(item) for item in listed)


def _certificate(value: Json) -> bytes:
    return _base64(_text(_members(value, "certificate", {"rawBytes"}), "rawBytes"), "certificate")


def _read_envelope(value: Json) -> dsse.Envelope:
    if isinstance(value, dict) and isinstance(value.get("signatures"), list):
        listed = _items(value["signatures"], "signatures")
        value = {**value, "signatures": [_without_null(signature) for signature in listed]}
    envelope = dsse.from_json(value)
    if len(envelope.signatures) != 1:
        raise VerificationError(f"envelope has {len(envelope.signatures)} signatures, not 1")
    if envelope.payload_type != dsse.IN_TOTO:
        raise VerificationError(f"DSSE payload is {envelope.payload_type[:80]!a}, not {dsse.IN_TOTO}")
    return envelope


def _without_null(signature: Json) -> Json:
    """Drop a keyid of null, which OMS allows and DSSE does not (OMS envelope schema, `keyid`)."""
    if isinstance(signature, dict) and signature.get("keyid", "") is None:
        return {name: member for name, member in signature.items() if name != "keyid"}
    return signature


def _read_resource(value: Json) -> FileDigest:
    if not isinstance(value, dict):
        raise VerificationError("resource is not an object")
    name = _text(value, "name")
    if value.get("algorithm") != "sha256":
        raise VerificationError(f"{name[:200]!a} is hashed by {str(value.get('algorithm'))[:40]!a}, not sha256")
    file = FileDigest(name, Digest(_text(value, "digest")))
    annotations = value.get("annotations", {})
    if not isinstance(annotations, dict):
        raise VerificationError(f"annotations of {name[:200]!a} are not an object")
    if not annotations.keys() & {"size", "chunkSize", "chunkAlgorithm", "chunks"}:
        return file
    return _with_chunks(file, annotations)


def _with_chunks(file: FileDigest, annotations: dict[str, Json]) -> FileDigest:
    where = f"annotations of {file.name[:200]!a}"
    size, step = annotations.get("size"), annotations.get("chunkSize")
    if type(size) is not int or type(step) is not int or size < 0 or step not in _CHUNK_SIZES:
        raise VerificationError(f"{where}: size or chunkSize is missing or out of range")
    if annotations.get("chunkAlgorithm") != "sha256":
        raise VerificationError(f"{where}: chunkAlgorithm is not sha256")
    joined = _base64(_text(annotations, "chunks", least=0), where)
    chunks = tuple(joined[at : at + 32] for at in range(0, len(joined), 32))
    count = -(-size // step)
    if len(joined) != 32 * count:
        raise VerificationError(f"{where}: {len(joined)} bytes of chunk digests, not {count} times 32")
    if count < 2 and b"".join(chunks) != (file.sha256.raw if count else b""):
        raise VerificationError(f"{where}: the one chunk is not the file")
    if not count and file.sha256 != Digest.of(b""):
        raise VerificationError(f"{where}: an empty file has another digest")
    return replace(file, size=size, chunk_size=step, chunks=chunks)


def _read_serialization(value: Json) -> str | None:
    required = {"method", "hash_type", "allow_symlinks"}
    serialization = _members(value, "serialization", required, {"ignore_paths"})
    for member, wanted in (("method", "files"), ("hash_type", "sha256"), ("allow_symlinks", False)):
        if type(serialization[member]) is not type(wanted) or serialization[member] != wanted:
            raise VerificationError(f"serialization's {member} is {str(serialization[member])[:40]!a}, not {wanted!r}")
    ignored = serialization.get("ignore_paths", [])
    if not isinstance(ignored, list):
        raise VerificationError("ignore_paths is not a list")
    names = [name if isinstance(name, str) else "" for name in ignored if name not in _NOT_OBEYED]
    if len(names) > 1:
        raise VerificationError(f"ignore_paths leaves out more than the signature: {str(names)[:200]!a}")
    if not names:
        return None
    check_name(names[0])
    return names[0]


def _read_subject(value: Json, files: Sequence[FileDigest]) -> tuple[str, Digest, Digest]:
    subjects = _items(value, "subject")
    if len(subjects) != 1:
        raise VerificationError(f"statement has {len(subjects)} subjects, not 1")
    subject = _members(subjects[0], "subject", {"name", "digest"})
    digests = _members(subject["digest"], "subject's digest", {"sha256"}, {"dirHash"})
    root, directory = _root(files), _dir_hash(files)
    if digests["sha256"] != root.hex:
        raise VerificationError(f"subject is {str(digests['sha256'])[:64]!a}, but its resources hash to {root.hex}")
    claimed = digests.get("dirHash", directory.hex)
    if claimed != directory.hex:
        raise VerificationError(f"dirHash is {str(claimed)[:64]!a}, but names and digests give {directory.hex}")
    return _text(subject, "name"), root, directory


def _members(value: Json, what: str, required: set[str], optional: Iterable[str] = ()) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise VerificationError(f"{what} is not an object")
    if missing := sorted(required - value.keys()):
        raise VerificationError(f"{what} has no {missing[0]}")
    if unknown := sorted(value.keys() - required - set(optional)):
        raise VerificationError(f"{what} has an unknown member {unknown[0][:64]!a}")
    return value


def _items(value: Json, what: str) -> list[Json]:
    if not isinstance(value, list) or not value:
        raise VerificationError(f"{what} is not a list of at least one")
    return value


def _text(value: dict[str, Json], member: str, *, least: int = 1) -> str:
    text = value.get(member)
    if not isinstance(text, str) or len(text) < least:
        raise VerificationError(f"{member} is missing, empty, or not text")
    return text


def _base64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise VerificationError(f"{what} is not base64") from e
