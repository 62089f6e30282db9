"""How does the signer start as a process of its own? `python -m lockgate.signer HOME`, as `lockgate up` does.

Its key is `keys/checkpoint.pem`, encrypted or not, or where `keys/checkpoint.uri` says; Ed25519 in any case.
"""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from lockgate.drivers.anchor_file import AnchorFile, alone
from lockgate.errors import LockgateError
from lockgate.keyring import server_key
from lockgate.signer.sitting import listen, sit

_PATIENCE = 10  # seconds for the signer before us to end


def main() -> None:
    """Sit at the socket until a signal, or the end of standard input, ends it."""
    parser = argparse.ArgumentParser(prog="lockgate.signer")
    parser.add_argument("home", type=Path)
    parser.add_argument("--socket", type=Path)
    parser.add_argument("--user", type=int, action="append", default=[], help="who else may ask")
    parser.add_argument("--tied", action="store_true", help="end with whoever holds standard input")
    wanted = parser.parse_args()
    logging.basicConfig(format="lockgate signer: %(message)s")
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN if wanted.tied else signal.SIG_DFL)
    users = {os.geteuid(), *wanted.user}
    with alone(wanted.home, _PATIENCE):
        heads = AnchorFile(wanted.home, server_key(wanted.home, "checkpoint"))
        with listen(wanted.socket or wanted.home / "signer.sock", users) as door:
            sit(door, heads, users, sys.stdin.fileno() if wanted.tied else None)


if __name__ == "__main__":
    try:
        main()
    except LockgateError as e:
        sys.stderr.write(f"the signer did not start: {e}\n")
        sys.exit(e.exit_code)
