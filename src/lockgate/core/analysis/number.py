"""How are numbers written where JSON has no floats? As decimal text for people, exactly for whoever goes on."""

import math
import re
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from typing import Self

from lockgate.errors import VerificationError

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?")
_WIDE = Context(prec=12, Emax=MAX_EMAX, Emin=MIN_EMIN)


@dataclass(frozen=True, slots=True)
class Number:
    """A number as decimal text: `0.004`. It is what it says, to the last digit."""

    text: str

    def __post_init__(self) -> None:
        if not _DECIMAL.fullmatch(self.text):
            raise VerificationError(f"not a number like 0.004: {self.text[:40]!a}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a number."""
        return cls(text)

    @property
    def exact(self) -> Fraction:
        """The number itself."""
        return Fraction(self.text)

    def __float__(self) -> float:
        """Come as near as a float can."""
        return float(self.text)

    def __str__(self) -> str:
        """Write the number as it was written."""
        return self.text


class Exact(float):
    """A float that is the same after it was written and read: `0x1.8000000000000p+1`. Never NaN, never endless."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `float.hex` wrote, and nothing else."""
        try:
            value = cls.fromhex(text)
        except (ValueError, OverflowError) as e:
            raise VerificationError(f"not a float in hexadecimal: {text[:40]!a}") from e
        if not math.isfinite(value) or value.hex() != text:
            raise VerificationError(f"not how a finite float is written in hexadecimal: {text[:40]!a}")
        return value

    def __str__(self) -> str:
        """Write it exactly."""
        return self.hex()


def decimal_text(value: float) -> str:
    """Write a float in four digits."""
    return format(value, ".4g")


def antilog_text(log: float) -> str:
    """Write e to the power of `log` in four digits, however large it is: `2.516e+57`."""
    return format(_WIDE.exp(Decimal(log)), ".4g")
