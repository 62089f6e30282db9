"""Which errors may a caller see, and what does each one ask of them?

    LockgateError
    ├── DeniedError         the rules say no: change the request, not the time         HTTP 409, exit 3
    ├── VerificationError   the bytes are not what they claim to be: never retry       HTTP 422, exit 4
    ├── ConflictError       the log grew since it was read: read again, then retry     HTTP 412, exit 5
    └── UnavailableError    an outside system did not answer: nothing was decided      HTTP 503, exit 6

Everything else that is raised is a bug of ours, and nobody catches it.
"""

from typing import ClassVar


class LockgateError(Exception):
    """What all errors of this package have in common: one line that says what was found and what was wanted."""

    exit_code: ClassVar[int] = 1


class DeniedError(LockgateError):
    """The rules say no. Holds every reason at once, so that nobody has to ask twice."""

    exit_code: ClassVar[int] = 3

    def __init__(self, *reasons: str) -> None:
        assert reasons, "a denial without a reason helps nobody"
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class VerificationError(LockgateError):
    """Bytes, a signature, a digest or a proof is not what it claims to be."""

    exit_code: ClassVar[int] = 4


class ConflictError(LockgateError):
    """The log grew since it was read, so what was decided may no longer follow from what is true."""

    exit_code: ClassVar[int] = 5


class UnavailableError(LockgateError):
    """An outside system did not answer. Nothing was changed; nothing was allowed."""

    exit_code: ClassVar[int] = 6
