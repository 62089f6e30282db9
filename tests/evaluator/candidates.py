"""Releases as a trial has them: a folder with a few files, and a manifest about it."""

import json
from datetime import UTC, datetime

from lockgate.core.release import Contract, Kind, Manifest, Part, Serve
from lockgate.evaluator.candidate import Candidate
from lockgate.formats.digest import Digest, dir_hash
from lockgate.formats.names import Name, Version
from lockgate.formats.oms import FileDigest

SAY = {
    "path": "/say",
    "content": "json",
    "most": 4096,
    "good": {"session": "probe", "request": "Hello"},
    "same": ["/said"],
}
INTAKE = {
    "type": "intake/v1",
    "ready": "/healthz",
    "takes": [SAY],
    "guardrail": {"path": "/say", "send": {"session": "probe", "request": "{text}"}, "refused": "/refused"},
    "filter": {"path": "/clean", "send": {"text": "{text}"}, "reads": "/text"},
}
COMMAND = ("{python}", "-m", "toy", "--model", "{model}", "--port", "{port}")


def tensors(**shapes):
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 4
        for each in shape:
            size *= each
        header[name.replace("__", ".")] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    written = json.dumps(header).encode()
    return len(written).to_bytes(8, "little") + written + bytes(at)


def candidate(folder, files, *, tools=(), command=COMMAND, kinds=None, environment=None):
    """Write files (COMPONENT/NAME: bytes, text or JSON) and describe them as a release."""
    kinds, listed = kinds or {}, {}
    for where, content in files.items():
        component, _, name = where.partition("/")
        raw = content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else None
        raw = json.dumps(content).encode() if raw is None else raw
        (folder / where).parent.mkdir(parents=True, exist_ok=True)
        (folder / where).write_bytes(raw)
        listed.setdefault(component, []).append(FileDigest(name, Digest.of(raw), len(raw)))
    parts = {
        component: Part(
            Kind(kinds.get(component, component)),
            dir_hash((file.name, file.sha256.hex) for file in found),
            Digest.of(component.encode()),
        )
        for component, found in listed.items()
    }
    manifest = Manifest(
        Name("toy"), Version.parse("1.0.0"), "Apache-2.0", datetime(2026, 11, 1, tzinfo=UTC), (Name("alice"),), parts,
        Contract((), (), (), tuple(tools)), Serve(tuple(command), environment or {}),
    )  # fmt: skip
    return Candidate(manifest, Digest.of(b"manifest"), folder, {name: tuple(found) for name, found in listed.items()})
