"""How does the server start as a process of its own? `python -m lockgate.server HOME`, as `lockgate up` does."""

import sys
from pathlib import Path

from lockgate.errors import LockgateError
from lockgate.server.asgi import serve

try:
    serve(Path(sys.argv[1]))
except LockgateError as e:
    sys.stderr.write(f"the server did not start: {e}\n")
    sys.exit(e.exit_code)
