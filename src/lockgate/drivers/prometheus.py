"""What does a Prometheus server measure? One instant query at a time, within limits of time and size.

Only the address that the settings name is ever spoken to: a strategy says what is asked, never whom. Redirects are not
followed, and what is no plain answer is an error. What it says is a measurement of somebody else, and proves nothing.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import urllib3

from lockgate.app.ports import Sample
from lockgate.errors import UnavailableError, VerificationError
from lockgate.loader.connection import open_pool
from lockgate.loader.tls import Tls

MAX_ANSWER = 1 << 20
MAX_QUERY, MAX_SAMPLES, MAX_LABEL = 4096, 1000, 1024
SECONDS = 2.0  # for a whole answer, however slowly it drips

_PIECE = 1 << 16
_LEAST_SECONDS = 0.001
_VALUE = re.compile(r"[+-]?([0-9]+(\.[0-9]+)?(e[+-]?[0-9]{1,3})?|Inf)|NaN")


class Prometheus:
    """Port `Measurements`: the HTTP API of a Prometheus server, `/api/v1/query`."""

    def __init__(self, url: str, tls: Tls | None = None, *, seconds: float = SECONDS) -> None:
        self._url = url.rstrip("/")
        self._pool = open_pool(self._url, tls or Tls())
        self._seconds = seconds

    def ask(self, query: str, seconds: float = SECONDS) -> Sequence[Sample]:
        """Return what a query gives now (port `Measurements`)."""
        if not 1 <= len(query) <= MAX_QUERY:
            raise VerificationError(f"a query has 1 to {MAX_QUERY} characters, not {len(query)}")
        seconds = min(seconds, self._seconds)
        ends_at = time.monotonic() + seconds
        try:
            answer = self._pool.request(
                "POST",
                f"{self._url}/api/v1/query",
                body=urlencode({"query": query, "timeout": f"{max(1, round(seconds * 1000))}ms"}),
                headers={"Content-Type": "application/x-www-form-urlencoded", "Accept-Encoding": "identity"},
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(total=max(_LEAST_SECONDS, seconds)),
            )
        except (urllib3.exceptions.HTTPError, OSError) as e:
            raise UnavailableError(f"Prometheus does not answer: {type(e).__name__}") from e
        try:
            content = _whole(answer, ends_at)
        finally:
            answer.close()
        if answer.status != 200:
            raise UnavailableError(f"Prometheus answered {answer.status}{_reason(content)}")
        return _samples(_parsed(content))


def _whole(answer: urllib3.BaseHTTPResponse, ends_at: float) -> bytes:
    """Read an answer; stop where it is too long or takes too long."""
    content = bytearray()
    try:
        while piece := answer.read1(_PIECE, decode_content=False):
            content += piece
            if len(content) > MAX_ANSWER:
                raise VerificationError(f"the answer of Prometheus has more than {MAX_ANSWER} bytes")
            if time.monotonic() > ends_at:
                raise UnavailableError("the answer of Prometheus takes too long")
    except (urllib3.exceptions.HTTPError, OSError) as e:
        raise UnavailableError(f"the answer of Prometheus broke off: {type(e).__name__}") from e
    return bytes(content)


def _parsed(content: bytes) -> Mapping[str, object]:
    """Read JSON. Values come as text; of its numbers, which are instants, nothing is wanted."""
    try:
        found = json.loads(content, parse_float=_nothing, parse_int=_nothing, parse_constant=_nothing)
    except (ValueError, RecursionError) as e:
        raise VerificationError("the answer of Prometheus is not JSON") from e
    if not isinstance(found, dict):
        raise VerificationError("the answer of Prometheus is no object")
    return found


def _nothing(_number: str) -> None: ...


def _samples(answer: Mapping[str, object]) -> Sequence[Sample]:
    found = answer.get("data")
    if answer.get("status") != "success" or not isinstance(found, dict):
        raise VerificationError("Prometheus did not succeed")
    kind, result = found.get("resultType"), found.get("result")
    if kind == "scalar":
        return (Sample({}, _value(result)),)
    if kind != "vector" or not isinstance(result, list) or len(result) > MAX_SAMPLES:
        raise VerificationError(f"Prometheus gives no scalar, and no vector of at most {MAX_SAMPLES} samples")
    return tuple(_sample(each) for each in result)


def _sample(found: object) -> Sample:
    labels = found.get("metric") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(labels, dict):
        raise VerificationError("Prometheus gives a sample without labels")
    if not all(isinstance(value, str) and max(len(name), len(value)) <= MAX_LABEL for name, value in labels.items()):
        raise VerificationError(f"Prometheus gives a label with more than {MAX_LABEL} characters")
    return Sample(labels, _value(found.get("value")))


def _value(found: object) -> str:
    if not isinstance(found, list) or len(found) != 2 or not isinstance(found[1], str):
        raise VerificationError("Prometheus gives a sample without a value")
    if len(found[1]) > MAX_LABEL or not _VALUE.fullmatch(found[1]):
        raise VerificationError(f"Prometheus gives a value that is no number: {found[1][:40]!a}")
    return found[1]


def _reason(content: bytes) -> str:
    try:
        error = _parsed(content).get("error")
    except VerificationError:
        return ""
    return f": {error[:200]!a}" if isinstance(error, str) else ""
