"""How does the porter start? `python -m lockgate.porter HOME`, as `lockgate kubernetes admit` does."""

import argparse
import logging
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lockgate.core.pod import Terms
from lockgate.errors import LockgateError
from lockgate.loader.tls import Tls, listening, server_context
from lockgate.porter.judging import Porter
from lockgate.porter.review_door import ReviewDoor


def main() -> None:
    """Answer until a signal ends it."""
    parser = argparse.ArgumentParser(prog="lockgate.porter")
    parser.add_argument("home", type=Path)
    parser.add_argument("--loader", required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--runtime-class")
    parser.add_argument("--tls-certificate", type=Path)
    parser.add_argument("--tls-key", type=Path)
    wanted = parser.parse_args()
    logging.basicConfig(format="lockgate porter: %(message)s")
    os.umask(0o077)
    tls = Tls(wanted.tls_certificate, wanted.tls_key)
    secured = tls.certificate is not None
    terms = Terms(wanted.loader, runtime_class=wanted.runtime_class)
    porter = Porter(wanted.home, terms, lambda: datetime.now(UTC))
    at = listening(wanted.listen, secured=secured)
    with ReviewDoor(at, porter.answer, server_context(tls) if secured else None) as door:
        signal.signal(signal.SIGTERM, _leave)
        door.serve_forever()


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
    except LockgateError as e:
        sys.stderr.write(f"the porter did not start: {e}\n")
        sys.exit(e.exit_code)
