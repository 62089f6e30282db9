"""How long does it take to scan a model of 90 MB, and how much of a corpus of malicious files is refused?

The model is a directory as people publish them: 60 MB of safetensors, their tokenizer, 30 MB of ONNX in two thousand
nodes, configurations and texts, read from the page cache.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lockgate.scanner.folder import scan
from tests.scanner.case import tensors
from tests.scanner.corpus_formats import model, node, tensor
from tests.scanner.test_corpus import CASES

COMMAND = "make bench ARGS=scan"
TURNS = 7
_LAYERS, _WIDTH = 15, 1000
_NODES, _PIECES = 2_000, 30_000


def rows():
    """Measure, and say whether that is good enough."""
    with tempfile.TemporaryDirectory(prefix="lockgate-bench-") as folder:
        root = Path(folder, "model")
        _write(root)
        return [*_timed(root), *_corpus(Path(folder))]


def _timed(root):
    size = sum(path.stat().st_size for path in root.rglob("*"))
    alone, work = _measured(lambda: scan(root), resource.RUSAGE_SELF)
    command = [str(Path(sys.executable).with_name("lockgate")), "scan", str(root), "--json"]
    whole, more = _measured(lambda: subprocess.run(command, check=True, capture_output=True), resource.RUSAGE_CHILDREN)
    yield {
        "what": f"scan a model directory of {size / 1e6:.0f} MB",
        "figure": f"{alone:.2f} s ({work:.2f} s CPU)",
        "must": "at most 1 s",
        "ok": alone <= 1,
        "command": COMMAND,
    }
    yield {
        "what": "the same by `lockgate scan`, its start included",
        "figure": f"{whole:.2f} s ({more:.2f} s CPU)",
        "must": "",
        "ok": None,
        "command": COMMAND,
    }


def _measured(act, whose):
    walls, work = [], []
    for _ in range(TURNS):
        before, began = resource.getrusage(whose), time.perf_counter()
        act()
        after = resource.getrusage(whose)
        walls.append(time.perf_counter() - began)
        work.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(walls), statistics.median(work)


def _corpus(folder):
    refused = 0
    for number, case in enumerate(CASES):
        place = folder / f"case-{number}"
        place.mkdir()
        case.write(place)
        refused += bool(scan(place).findings)
    yield {
        "what": f"refused of {len(CASES)} malicious files and directories that we built ourselves",
        "figure": str(refused),
        "must": f"{len(CASES)}, at least 120",
        "ok": refused == len(CASES) >= 120,
        "command": COMMAND,
    }


def _write(root: Path) -> None:
    root.mkdir()
    layer = _WIDTH * _WIDTH * 4
    header = {
        f"layer.{n}": {"dtype": "F32", "shape": [_WIDTH, _WIDTH], "data_offsets": [n * layer, (n + 1) * layer]}
        for n in range(_LAYERS)
    }
    (root / "model.safetensors").write_bytes(tensors(header, os.urandom(_LAYERS * layer)))
    graph = [*((1, node()) for _ in range(_NODES)), (5, tensor(raw=os.urandom(30_000_000), shape=7_500_000))]
    (root / "model.onnx").write_bytes(model(*graph))
    vocabulary = {f"piece{n}": n for n in range(_PIECES)}
    (root / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary, "merges": []}}))
    (root / "vocab.txt").write_text("\n".join(vocabulary))
    (root / "config.json").write_text(json.dumps({"hidden_size": _WIDTH}))
    (root / "README.md").write_text("# A model\n\n" + "It does what it says. " * 500)


if __name__ == "__main__":
    for row in rows():
        print(f"{'ok  ' if row['ok'] else 'MISS'} {row['what']}: {row['figure']}, {row['must']}")
