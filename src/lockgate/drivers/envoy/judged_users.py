"""Who was judged, and how? Each user once in a round, at the release that answered them first; as hashes, in memory.

    first answer ──▶ watched, for half a minute ──▶ judged: bad if that release failed them once
         ▲                   │ the weights changed, the endpoint was cut, or a record was lost
         │                   └──▶ judged by nobody: begins again
         └──── left alone for a minute, then four, then sixteen, …: the next round

A round holds each user once in a rollout. What a user does is one outcome, however much it is; and a change of weights
never falls into it. Whoever there is no room for is judged by nobody, and that is said (docs/decisions/0044).
"""

import secrets
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from lockgate.core.report import MAX_ROUNDS, Tally, round_name
from lockgate.core.traffic import Traffic
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name

WATCHED = 30.0  # seconds
MOST = 100_000  # users that are remembered, at all endpoints

_SPREADING_NS = 200_000_000  # until each thread of Envoy does what was acknowledged
_PAUSE_NS = 60_000_000_000
_LONGER = 4
_KEY_BYTES, _HASH_BYTES = 32, 16

Judged = Mapping[tuple[Endpoint, Digest], Mapping[Name, Tally]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request: who asked, who answered, whether that failed, and when it began (wall clock)."""

    endpoint: Endpoint
    release: Digest
    caller: bytes
    failed: bool
    began_ns: int


@dataclass(slots=True)
class User:
    """Somebody: how often they were judged, since when they may be watched again, and what is seen of them now."""

    rounds: int = 0
    again_ns: int = 0
    until_ns: int | None = None
    release: Digest | None = None
    failed: bool = False


@dataclass(slots=True)
class Ledger:
    """One rollout at one endpoint. It is open while it is surely shown; `began_ns` is since when (wall clock)."""

    split: tuple[object, ...]
    users: dict[bytes, User] = field(default_factory=dict)
    watched: deque[User] = field(default_factory=deque)  # in the order in which their time is over
    began_ns: int | None = None

    @property
    def rollout(self) -> object:
        """Say which rollout it is."""
        return self.split[0]

    def forget_watched(self) -> None:
        """Judge nobody who is watched now."""
        for user in self.watched:
            user.until_ns = None
        self.watched.clear()


class Users:
    """The users of a gateway. Everything may be called by any thread; instants are CLOCK_MONOTONIC, but `wall_ns`."""

    def __init__(self, watched: float = WATCHED, most: int = MOST) -> None:
        self._watched_ns, self._most = int(watched * 1e9), most
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._lock = threading.Lock()
        self._ledgers: dict[Endpoint, Ledger] = {}
        self._forgotten: set[tuple[Endpoint, object]] = set()
        self._totals: dict[tuple[Endpoint, Digest], dict[Name, Tally]] = {}
        self._full = False

    @property
    def is_needed(self) -> bool:
        """Ask whether anybody is told apart now."""
        with self._lock:
            return any(ledger.began_ns is not None for ledger in self._ledgers.values())

    @property
    def unjudged(self) -> str | None:
        """Say why somebody is judged by nobody, if so."""
        with self._lock:
            told_apart = [name for name, ledger in self._ledgers.items() if ledger.began_ns is not None]
            forgotten = [name for name in told_apart if (name, self._ledgers[name].rollout) in self._forgotten]
            is_full = self._full and bool(told_apart)
        if forgotten:
            return f"users of {forgotten[0]} were forgotten for others while it was away: they are judged no more"
        return f"{self._most} users are remembered, and nobody judges any others" if is_full else None

    def close(self, traffic: Iterable[Traffic]) -> None:
        """Watch nobody across a change: call it before any of these is shown."""
        with self._lock:
            for one in traffic:
                ledger = self._ledgers.get(one.endpoint)
                if ledger is not None and ledger.split != _split(one):
                    ledger.began_ns = None
                    ledger.forget_watched()

    def open(self, traffic: Iterable[Traffic], wall_ns: int) -> None:
        """Watch who asks from now on, where callers are told apart: call it when these are surely shown."""
        with self._lock:
            for one in traffic:
                split, ledger = _split(one), self._ledgers.get(one.endpoint)
                if one.sticky_by is None or (ledger is not None and ledger.began_ns is not None):
                    continue
                users = ledger.users if ledger is not None and ledger.rollout == split[0] else {}
                self._ledgers[one.endpoint] = Ledger(split, users, began_ns=wall_ns + _SPREADING_NS)

    def take(self, answers: Iterable[Answer], now_ns: int) -> None:
        """Take what became of some requests."""
        with self._lock:
            for answer in answers:
                ledger = self._ledgers.get(answer.endpoint)
                if ledger is not None and ledger.began_ns is not None and ledger.began_ns <= answer.began_ns:
                    self._hear(ledger, answer, now_ns)

    def lose(self) -> None:
        """Judge nobody who is watched now: some of what became of them may never be known."""
        with self._lock:
            for ledger in self._ledgers.values():
                ledger.forget_watched()

    def judge(self, known_ns: int) -> Judged:
        """Judge those whose time was over at an instant up to which all is known; return all that were judged."""
        with self._lock:
            for endpoint, ledger in self._ledgers.items():
                while ledger.watched and (ledger.watched[0].until_ns or 0) <= known_ns:
                    self._judge(endpoint, ledger.watched.popleft())
            return {place: dict(rounds) for place, rounds in self._totals.items()}

    def _hear(self, ledger: Ledger, answer: Answer, now_ns: int) -> None:
        user = self._user(ledger, answer)
        if user is None:
            return
        if user.until_ns is not None:
            if answer.release == user.release and now_ns < user.until_ns:
                user.failed = user.failed or answer.failed
        elif now_ns >= user.again_ns and user.rounds < MAX_ROUNDS:
            user.until_ns, user.release, user.failed = now_ns + self._watched_ns, answer.release, answer.failed
            ledger.watched.append(user)

    def _user(self, ledger: Ledger, answer: Answer) -> User | None:
        if (answer.endpoint, ledger.rollout) in self._forgotten:
            return None
        caller = blake2b(answer.caller, key=self._key, digest_size=_HASH_BYTES).digest()
        user = ledger.users.get(caller)
        if user is None and self._has_room():
            user = ledger.users[caller] = User()
        return user

    def _has_room(self) -> bool:
        """Ask whether one more can be remembered; rollouts that are not shown any more make room, for good."""
        if sum(len(ledger.users) for ledger in self._ledgers.values()) >= self._most:
            for endpoint, ledger in self._ledgers.items():
                if ledger.began_ns is None and ledger.users:
                    self._forgotten.add((endpoint, ledger.rollout))
                    ledger.users.clear()
        self._full = sum(len(ledger.users) for ledger in self._ledgers.values()) >= self._most
        return not self._full

    def _judge(self, endpoint: Endpoint, user: User) -> None:
        assert user.release is not None and user.until_ns is not None
        user.rounds += 1
        user.again_ns = user.until_ns + _PAUSE_NS * _LONGER ** (user.rounds - 1)
        user.until_ns = None
        rounds, name = self._totals.setdefault((endpoint, user.release), {}), round_name(user.rounds)
        so_far = rounds.get(name, Tally(0, 0))
        rounds[name] = Tally(so_far.total + 1, so_far.bad + user.failed)


def _split(traffic: Traffic) -> tuple[object, ...]:
    """Say what must not change while somebody is watched; first, which rollout it is."""
    weights = tuple(sorted((each.release, each.weight) for each in traffic.routes))
    return (traffic.rollout, traffic.sticky_by), traffic.stable, weights
