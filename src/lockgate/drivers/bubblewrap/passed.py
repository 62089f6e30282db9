"""Which descriptors go along to bubblewrap, and are closed here when it has them?"""

import os
from types import TracebackType
from typing import Self


class Passed:
    """Descriptors for one start of bubblewrap."""

    def __init__(self) -> None:
        self.descriptors: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)

    def take(self, descriptor: int) -> int:
        """Pass a descriptor on, and close it in time."""
        self.descriptors.append(descriptor)
        return descriptor

    def keep(self, content: bytes) -> int:
        """Pass bytes on, as a file that nobody else sees."""
        made = self.take(os.memfd_create("lockgate", os.MFD_CLOEXEC))
        with os.fdopen(os.dup(made), "wb") as file:
            file.write(content)
        os.lseek(made, 0, os.SEEK_SET)
        return made
