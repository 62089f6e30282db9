"""At which addresses may something be asked whose name others could point elsewhere? At public ones, and those allowed.

What a name resolves to is looked at, and then exactly that is connected to, so that nobody answers differently in
between.
"""

import queue
import socket
import threading
from collections.abc import Sequence

from lockgate.errors import UnavailableError
from lockgate.formats.public_address import Ip, check_address


def resolve(host: str, port: int, *, private: bool, seconds: float) -> Sequence[Ip]:
    """Find the addresses of a name in time; raise unless every one of them may be asked."""
    found: queue.SimpleQueue[Sequence[str] | OSError] = queue.SimpleQueue()
    threading.Thread(target=_resolve, args=(host, port, found), name="resolve", daemon=True).start()
    try:
        texts = found.get(timeout=seconds)
    except queue.Empty as e:
        raise UnavailableError("its name is not resolved in time") from e
    if isinstance(texts, OSError) or not texts:
        raise UnavailableError("its name is not resolved")
    return [check_address(text, private=private) for text in texts]


def _resolve(host: str, port: int, found: "queue.SimpleQueue[Sequence[str] | OSError]") -> None:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found.put([str(address[0]) for *_, address in answers])
    except (OSError, UnicodeError) as e:
        found.put(e if isinstance(e, OSError) else OSError("no name"))
