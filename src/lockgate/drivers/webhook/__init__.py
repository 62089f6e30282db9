"""How is something bound that only its owner can open and shut? By asking him, and by trying what he gave out.

    grant ──▶ POST url, signed by the node ──▶ {"token": …}, for the model server, and kept here
    cut   ──▶ POST url, signed by the node ──▶ 2xx: he says that it is so
    probe ──▶ GET probe_url with each token ──▶ 401 or 403: shut; 2xx: open; anything else: nobody can tell

What he says is a claim, and counts for nothing in the end: the tokens that he gave out are tried. They are kept in
files (mode 0600), for an agent that is started again, until a day after they were to end. Where it gave none, one that
nobody was given is tried: a door that lets that in is open, and one that does not answer is not said to be shut.
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lockgate.core.binding import Call, Found, Holder, Seen, logins_of, sign_call
from lockgate.drivers.webhook.bounded_request import Answer, Target
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import canonical
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.instant import parse_instant, write_instant
from lockgate.formats.keys import Signer
from lockgate.formats.names import Endpoint, Name
from lockgate.loader.whole_file import write_whole

SECONDS = 2.0
MAX_TOKENS = 8  # of one holder that are tried; the oldest that let nobody in any more gives way

_LONGEST_TOKEN = 4096
_KEPT = timedelta(days=1)
_SHUT = ".shut.json"  # a token that was tried after a cut, and let nobody in


class Webhook:
    """One address of somebody else (port `Binding`)."""

    def __init__(self, name: Name, asker: tuple[Name, Signer], url: Target, probe_url: Target, folder: Path) -> None:
        """Ask at `url` as the node `asker`, try at `probe_url`, and keep tokens in `folder`."""
        self._name, (self._node, self._signer) = name, asker
        self._url, self._probe_url, self._folder = url, probe_url, folder

    def grant(self, holder: Holder, until: datetime, tools: Sequence[str] = ()) -> Mapping[str, Json]:
        """Have a holder let in (port `Binding`)."""
        del tools
        answer = self._call("grant", holder.endpoint, holder.login, until)
        try:
            granted = canonical.parse_object(answer.body)
        except VerificationError as e:
            raise UnavailableError(f"{self._name}: what came back is no JSON object") from e
        self._keep(holder.login, _token(self._name, granted), until)
        return granted

    def cut(self, endpoint: Endpoint, holder: Holder | None = None) -> None:
        """Have it cut (port `Binding`)."""
        self._call("cut", endpoint, holder.login if holder else None, None)

    def probe(self, endpoint: Endpoint, holder: Holder | None = None) -> Found:
        """Try every token that this host was given, as its holder would (port `Binding`).

        Enforces: emergency_shutdown
        """
        ends_at = time.monotonic() + SECONDS
        kept = list(self._kept(holder.login if holder else logins_of(endpoint)))
        if not kept:
            return self._tried(f"nobody-was-given-{secrets.token_urlsafe(16)}", ends_at)
        for path in kept:
            if self._tried(str(_read(path).get("token")), ends_at) == "open":
                return "open"
            path.replace(path.with_name(path.name.removesuffix(_SHUT).removesuffix(".json") + _SHUT))
        return "shut"

    def observed(self, endpoint: Endpoint) -> Seen:
        """Raise `UnavailableError`: only its owner sees what is open (port `Binding`)."""
        raise UnavailableError(f"{self._name}: a webhook does not tell what is open for {endpoint}")

    def close(self) -> None:
        """Do nothing: nothing is kept open (port `Binding`)."""

    def _call(self, act: str, endpoint: Endpoint, login: str | None, until: datetime | None) -> Answer:
        assert act in ("grant", "cut")
        when, nonce = datetime.now(UTC), secrets.token_hex(16)
        call = Call("grant" if act == "grant" else "cut", self._name, self._node, endpoint, login, until, when, nonce)
        body = sign_call(call, self._signer)
        kind = {"Content-Type": "application/json"}
        answer = self._asked(self._url, body, kind, time.monotonic() + SECONDS)
        if not 200 <= answer.status < 300:
            raise UnavailableError(f"{self._name}: {act} was answered {answer.status}")
        return answer

    def _asked(self, target: Target, body: bytes | None, headers: Mapping[str, str], ends_at: float) -> Answer:
        try:
            return target.ask("GET" if body is None else "POST", body, headers, max(0.0, ends_at - time.monotonic()))
        except (UnavailableError, VerificationError) as e:
            raise UnavailableError(f"{self._name}: {e}") from None

    def _tried(self, token: str, ends_at: float) -> Found:
        answer = self._asked(self._probe_url, None, {"Authorization": f"Bearer {token}"}, ends_at)
        if 200 <= answer.status < 300:
            return "open"
        if answer.status not in (401, 403):
            raise UnavailableError(f"{self._name}: trying to get in was answered {answer.status}")
        return "shut"

    def _keep(self, login: str, token: str, until: datetime) -> None:
        """Remember what must not let anybody in later on."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = datetime.now(UTC)
        for path in self._kept(login):
            if parse_instant(str(_read(path).get("until"))) + _KEPT < now:
                path.unlink(missing_ok=True)
        path = self._folder / f"{login}.{Digest.of(token.encode()).hex[:16]}.json"
        kept = list(self._kept(login))
        if not path.exists() and len(kept) >= MAX_TOKENS:
            shut = [each for each in kept if each.name.endswith(_SHUT)]
            if not shut:
                raise UnavailableError(f"{self._name}: it gives another token each time")
            min(shut, key=lambda each: each.stat().st_mtime_ns).unlink()
        write_whole(path, json.dumps({"token": token, "until": write_instant(until)}).encode(), 0o600)

    def _kept(self, login: str) -> Iterator[Path]:
        return (path for path in sorted(self._folder.glob("*.json")) if path.name.startswith(login))


def _token(name: Name, granted: Mapping[str, Json]) -> str:
    token = granted.get("token")
    if not isinstance(token, str) or not 16 <= len(token) <= _LONGEST_TOKEN or not token.isascii():
        raise UnavailableError(f"{name}: what came back holds no token of 16 to {_LONGEST_TOKEN} letters")
    if not token.isprintable() or " " in token:
        raise UnavailableError(f"{name}: what came back holds a token that no header can")
    return token


def _read(path: Path) -> Mapping[str, Json]:
    try:
        return canonical.parse_object(path.read_bytes())
    except (OSError, VerificationError) as e:
        raise UnavailableError(f"a token that was given out cannot be read: {path}") from e
