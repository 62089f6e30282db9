"""How does an agent start as a process of its own? `python -m lockgate.agent HOME`, as `lockgate agent` does."""

import sys
from pathlib import Path

from lockgate.agent.duty import serve
from lockgate.errors import LockgateError

try:
    serve(Path(sys.argv[1]), insecure="--insecure" in sys.argv[2:])
except LockgateError as e:
    sys.stderr.write(f"the agent did not start: {e}\n")
    sys.exit(e.exit_code)
