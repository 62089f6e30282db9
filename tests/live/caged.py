"""How does somebody who is not this test run jobs? A program of its own: a job in JSON comes in, an outcome goes out.

`python caged.py` stands between a test and the sandbox where it matters who starts it: another user, somebody with a
token in the environment, somebody who dies in between.
"""

import base64
import json
import sys
from dataclasses import asdict
from pathlib import Path

from lockgate.drivers.bubblewrap.outer import Bubblewrap
from lockgate.evaluator.sandbox import Job, Limits


def main():
    asked = json.load(sys.stdin)
    inputs = {name: Path(path) for name, path in asked.pop("inputs", {}).items()}
    limits = Limits(**asked.pop("limits", {}))
    command = tuple(asked.pop("command"))
    job = Job(command, inputs=inputs, limits=limits, **asked)
    found = asdict(Bubblewrap().run(job))
    found["said"] = found["said"].decode(errors="replace")
    found["files"] = {name: base64.b64encode(content).decode() for name, content in found["files"].items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
