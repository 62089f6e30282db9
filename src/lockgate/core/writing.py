"""What did somebody write down? Text that a person can read, neither empty nor a book; it is kept by its digest."""

from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest

MAX_WRITING = 64 << 10  # bytes


def open_writing(document: bytes | None, digest: Digest | None, what: str) -> str:
    """Read the text with this digest; raise `VerificationError` for another, none, or what nobody can read."""
    if document is None or digest is None:
        raise VerificationError(f"there is no {what}")
    if Digest.of(document) != digest:
        raise VerificationError(f"the {what} is {Digest.of(document)}, not {digest}")
    return read_writing(document, what)


def read_writing(document: bytes, what: str) -> str:
    """Read a text that somebody wrote; raise `VerificationError` for one that is empty, too long, or no text."""
    if len(document) > MAX_WRITING:
        raise VerificationError(f"the {what} has {len(document)} bytes, more than {MAX_WRITING}")
    try:
        text = document.decode()
    except UnicodeDecodeError as e:
        raise VerificationError(f"the {what} is no text in UTF-8") from e
    if "\0" in text or not any(letter.isalnum() for letter in text):
        raise VerificationError(f"the {what} says nothing")
    return text
