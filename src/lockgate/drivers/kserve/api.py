"""How is a Kubernetes API server spoken to? Server-side apply under our own name, never forced; a watch; no client.

The token is read from its file for each request, because the cluster replaces it. What another manager holds is not
taken from it: the conflict is raised, with every field (kubernetes.io, Server-Side Apply).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlencode

import urllib3

from lockgate.errors import ConflictError, DeniedError, UnavailableError, VerificationError
from lockgate.formats import canonical
from lockgate.formats.canonical import Json
from lockgate.loader.connection import open_pool, why_unanswered
from lockgate.loader.tls import Tls

Object = Mapping[str, Json]

MANAGER = "lockgate-routes"
_SECONDS = urllib3.Timeout(connect=5.0, read=10.0)
_MAX_OBJECT = 4 << 20
_PIECE = 1 << 16
_CONNECTIONS = 4  # kept: the watch, who shows, who cuts, who keeps
_APPLY = "application/apply-patch+yaml"  # JSON is YAML


@dataclass
class Cluster:
    """An API server, and as whom it is spoken to: over TLS, with the cluster's own authority."""

    url: str
    authorities: Path
    token: Path
    pool: urllib3.PoolManager = field(init=False)

    def __post_init__(self) -> None:
        self.pool = open_pool(self.url, Tls(authorities=self.authorities))
        self.pool.connection_pool_kw["maxsize"] = _CONNECTIONS

    @classmethod
    def around(cls, folder: Path, host: str, port: str) -> "Cluster":
        """Find the cluster in which this program runs: the folder of its service account, and what the kubelet set."""
        bare = f"[{host}]" if ":" in host else host
        return cls(f"https://{bare}:{port}", folder / "ca.crt", folder / "token")

    def apply(self, path: str, wanted: Object) -> Object:
        """Make an object have these fields; return it as it is now. Raise `ConflictError` if somebody else has one."""
        query = urlencode({"fieldManager": MANAGER, "force": "false"})
        return self._object(self._ask("PATCH", f"{path}?{query}", canonical.encode(wanted), _APPLY), path)

    def find(self, path: str) -> Object | None:
        """Read an object, None if there is none."""
        status, content = self._ask("GET", path)
        return None if status == 404 else self._object((status, content), path)

    def delete(self, path: str) -> None:
        """Remove an object; one that is not there is removed."""
        answer = self._ask("DELETE", path)
        if answer[0] != 404:
            self._object(answer, path)

    def watch(self, path: str, since: str) -> Iterator[Object]:
        """Yield what happens to the objects of a list, until the server ends it: then read the list again."""
        query = urlencode({"watch": "true", "resourceVersion": since, "timeoutSeconds": 300})
        with self._open("GET", f"{path}?{query}", None, None, urllib3.Timeout(connect=5.0, read=310.0)) as answer:
            if answer.status != 200:
                _refuse(answer.status, _read(answer), path)
            yield from _lines(answer)

    def _object(self, answer: tuple[int, bytes], path: str) -> Object:
        status, content = answer
        if not 200 <= status < 300:
            _refuse(status, content, path)
        return canonical.parse_object(content, limit=_MAX_OBJECT)

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str | None = None) -> tuple[int, bytes]:
        with self._open(method, path, body, kind, _SECONDS) as answer:
            return answer.status, _read(answer)

    @contextmanager
    def _open(
        self, method: str, path: str, body: bytes | None, kind: str | None, timeout: urllib3.Timeout
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        try:
            headers = {"Authorization": f"Bearer {self.token.read_text().strip()}", "Accept": "application/json"}
        except OSError as e:
            raise UnavailableError(f"cannot read the token {self.token}: {e.strerror}") from e
        headers |= {"Content-Type": kind} if kind else {}
        try:
            answer = self.pool.request(
                method,
                self.url + path,
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
                timeout=timeout,
            )
        except (urllib3.exceptions.HTTPError, OSError) as e:
            raise UnavailableError(f"no answer from the cluster: {why_unanswered(e, self.url)}") from e
        try:
            yield answer
        except (urllib3.exceptions.HTTPError, OSError) as e:
            raise UnavailableError(f"the cluster's answer broke off: {type(e).__name__}") from e
        finally:
            if answer.length_remaining != 0:
                answer.close()  # what is not read whole carries no other question
            answer.release_conn()


def _read(answer: urllib3.BaseHTTPResponse) -> bytes:
    content = bytearray()
    while piece := answer.read1(_PIECE, decode_content=True):
        content += piece
        if len(content) > _MAX_OBJECT:
            raise VerificationError(f"the cluster's answer has more than {_MAX_OBJECT} bytes")
    return bytes(content)


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[Object]:
    line = bytearray()
    while piece := answer.read1(_PIECE, decode_content=True):
        line += piece
        while b"\n" in line:
            whole, _, rest = line.partition(b"\n")
            line = bytearray(rest)
            yield canonical.parse_object(bytes(whole), limit=_MAX_OBJECT)
        if len(line) > _MAX_OBJECT:
            raise VerificationError(f"an event of the cluster has more than {_MAX_OBJECT} bytes")


def _refuse(status: int, content: bytes, path: str) -> NoReturn:
    try:
        told = canonical.parse_object(content, limit=_MAX_OBJECT)
    except VerificationError:
        told = {}
    said = f"{path}: {str(told.get('message') or f'the cluster answered {status}')[:2000]}"
    if status == 409:
        raise ConflictError(said)
    if status in (401, 403):
        raise DeniedError(said)
    if status in (400, 415, 422):
        raise VerificationError(said)
    raise UnavailableError(said)
