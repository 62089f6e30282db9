"""Does a SentencePiece model (sentencepiece_model.proto) hold pieces of words, and no more?"""

from collections.abc import Iterator, Mapping

from lockgate.errors import VerificationError
from lockgate.scanner.protobuf import I32, LEN, VARINT, fields
from lockgate.scanner.scanned import Flaw

_PIECE: Mapping[int, int] = {1: LEN, 2: I32, 3: VARINT}
_MOST_PIECES = 5_000_000


def sentencepiece_flaws(view: memoryview) -> Iterator[Flaw]:
    """Yield what is wrong; raise `VerificationError` where the structure ends."""
    pieces = 0
    for field in fields(view):
        if field.number == 1:
            pieces += 1
            if any(_PIECE.get(part.number) != part.wire for part in fields(field.content)):
                raise VerificationError("a piece has a field that pieces do not have")
        else:
            for _ in fields(field.content):  # how it was trained: read to its end
                pass
        if pieces > _MOST_PIECES:
            yield Flaw("sentencepiece", f"has more than {_MOST_PIECES} pieces")
            return
