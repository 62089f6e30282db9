"""Who speaks to Envoy, so that nobody does when the program has ended? Threads that keep no program alive.

A pool of the standard library is waited for at the end. Its thread would go on telling Envoy that all shall stay, in a
program whose owner is gone already.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Daemons(Executor):
    """A thread for each call."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` in a thread of its own."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as e:  # noqa: BLE001 - whoever asks the future gets it
                future.set_exception(e)

        threading.Thread(target=run, name="feed", daemon=True).start()
        return future
