"""How are the vector files in tests/vectors read? Records of `name: value` lines; `#` begins a comment."""

from pathlib import Path

VECTORS = Path(__file__).parents[1] / "vectors"


def records(name):
    blocks = (VECTORS / name).read_text(encoding="utf-8").split("\n\n")
    found = [dict(line.split(": ", 1) for line in b.splitlines() if not line.startswith("#")) for b in blocks]
    return [record for record in found if record]
