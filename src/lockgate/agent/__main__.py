"""How does an agent start as a process of its own? `python -m lockgate.agent HOME`, as `lockgate agent` does."""

import argparse
import sys
from pathlib import Path

from lockgate.agent.duty import serve
from lockgate.errors import LockgateError

read = argparse.ArgumentParser()
read.add_argument("home", type=Path)
read.add_argument("--insecure", action="store_true")
read.add_argument("--gateway")
read.add_argument("--tied", action="store_true")
told = read.parse_args()
try:
    serve(told.home, insecure=told.insecure, gateway=told.gateway, tied=told.tied)
except LockgateError as e:
    sys.stderr.write(f"the agent did not start: {e}\n")
    sys.exit(e.exit_code)
