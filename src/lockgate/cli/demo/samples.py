"""On which real files is the demo's model tried, and what should it call them?

Everything is made here or taken from this machine, so that nothing has to be fetched; ELF is this machine's own `true`.
"""

import gzip
import importlib.util
import io
import json
import pydoc
import shutil
import sqlite3
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """A file, and what it is; `but` names the releases that are known to call it something else."""

    content: Callable[[], bytes]
    label: str
    but: Mapping[str, str] = field(default_factory=dict)

    def expected(self, version: str) -> str:
        """Say what the release `version` is known to call it."""
        return self.but.get(version, self.label)


def _python() -> bytes:
    found = importlib.util.find_spec("json.decoder")
    assert found is not None and found.origin is not None
    return Path(found.origin).read_bytes()


def _elf() -> bytes:
    return Path(shutil.which("true") or sys.executable).read_bytes()


def _png() -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + bytes((x * y) % 256 for x in range(64 * 3)) for y in range(64))
    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _pdf() -> bytes:
    page = b"BT /F1 24 Tf 72 720 Td (Nothing rises unless it is weighed.) Tj ET"
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources <</Font <</F1 5 0 R>>>> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(page), page),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    out, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return out + b"xref\n0 %d\n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        size,
        table,
        size,
        len(out),
    )


def _sqlite() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE entry (index_at INTEGER PRIMARY KEY, leaf BLOB NOT NULL)")
    connection.executemany("INSERT INTO entry VALUES (?, ?)", ((n, bytes([n % 256]) * 32) for n in range(200)))
    connection.commit()
    content = connection.serialize()
    connection.close()
    return content


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in (("README", b"a small archive\n" * 40), ("decoder.py", _python())):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _json() -> bytes:
    gates = [{"id": n, "name": f"gate {n}", "level": n * 0.75, "open": n % 2 == 0, "seen": None} for n in range(9)]
    return json.dumps(
        {"name": "Fonserannes", "gates": gates, "keeper": {"shifts": ["night", "day"]}}, indent=2
    ).encode()


_MARKDOWN = b"""# The lock of Fonserannes

Nine gates, eight chambers, one slope. A boat needs **forty minutes** to climb it.

## Before you enter

1. Wait for the green light.
2. Close the lower gate.
3. Fill the chamber; see [the table of levels](levels.md).

```sh
fill --chamber 1 --to upper
```

- Never open both gates.
- Never leave the boat.
"""

_NOTE = b"""Notes of the keeper

- [ ] oil gate two
- [x] ask for grease
"""

_SHELL = b"""#!/bin/sh
set -eu

for gate in 1 2 3; do
    if [ -e "/run/gate/$gate" ]; then
        echo "gate $gate is shut"
    else
        echo "gate $gate is open" >&2
        exit 1
    fi
done
"""

_C = b"""#ifndef LOCK_H
#define LOCK_H

#include <stddef.h>
#include <stdint.h>

#define LOCK_GATES 9

typedef struct lock {
    uint32_t level;
    unsigned char shut[LOCK_GATES];
} lock_t;

int lock_fill(lock_t *lock, uint32_t level);
void lock_release(lock_t *lock, size_t gate);

#endif /* LOCK_H */
"""

SAMPLES: Mapping[str, Sample] = {
    "decoder.py": Sample(_python, "python"),
    "lock.json": Sample(_json, "json"),
    "pattern.png": Sample(_png, "png"),
    "sentence.pdf": Sample(_pdf, "pdf"),
    "true": Sample(_elf, "elf"),
    "decoder.py.gz": Sample(lambda: gzip.compress(_python(), mtime=0), "gzip"),
    "decoder.tar": Sample(_tar, "tar"),
    "lock.md": Sample(lambda: _MARKDOWN, "markdown"),
    "note.md": Sample(lambda: _NOTE, "markdown", but={"0.9.0": "txt", "1.0.0": "txt", "1.1.0": "txt"}),
    "page.html": Sample(lambda: pydoc.HTMLDoc().page("json", pydoc.html.document(gzip, "gzip")).encode(), "html"),
    "gates.sh": Sample(lambda: _SHELL, "shell"),
    "entries.sqlite": Sample(_sqlite, "sqlite", but={"0.9.0": "unknown"}),
    "lock.h": Sample(lambda: _C, "c"),
    "empty": Sample(lambda: b"", "empty"),
}
