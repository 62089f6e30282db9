"""How long does the baseline take over a real model? Magika, and 90 MB of tensors beside it, served in a sandbox."""

import tempfile
import time
from pathlib import Path

from lockgate.cli.demo import magika, wheels
from lockgate.drivers.bubblewrap.outer import Bubblewrap
from lockgate.evaluator.assignment import Assignment
from lockgate.evaluator.conducting import conduct
from lockgate.evaluator.on_trial import Surroundings
from lockgate.evaluator.sandbox import Limits
from lockgate.evaluator.suite_folder import find_suite
from lockgate.scanner.folder import scan
from tests.evaluator.candidates import candidate, tensors

COMMAND = "python -m bench evaluate"
SERVER = ("{python}", "-m", "lockgate.cli.demo.magika_server", "--model", "{model}", "--port", "{port}")
MUST = 15.0


def rows():
    """Measure; each row says what was found, what it must be, and how to find it again."""
    with tempfile.TemporaryDirectory() as folder:
        magika.build(magika.fetch(wheels.default_cache()), Path(folder, "built"))
        built = Path(folder, "built", "1.0.0")
        files = {str(path.relative_to(built)): path.read_bytes() for path in built.rglob("*") if path.is_file()}
        files["weights/beside.safetensors"] = tensors(a=(22_500, 1000))
        found = candidate(Path(folder, "candidate"), files, command=SERVER)
        began = time.monotonic()
        around, suite = Surroundings(Limits(memory=4 << 30)), find_suite("baseline")
        scanned = scan(found.folder)
        measured = conduct(Assignment(suite, found, scanned, Bubblewrap(), around, lambda _name: None))
        took = time.monotonic() - began
    size = sum(map(len, files.values())) / 1e6
    assert measured.served and not measured.trouble, measured.trouble
    what = f"scan and baseline over {size:.0f} MB, served in a sandbox, {measured.measures['input-contract']} probes"
    return [
        {"what": what, "figure": f"{took:.1f} s", "must": f"at most {MUST:g} s", "ok": took <= MUST, "command": COMMAND}
    ]
