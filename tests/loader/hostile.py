"""Which repository would a thief or a liar serve? One that signs what it likes with the keys that it has.

Written in the spirit of python-tuf's repository simulator, on our own metadata: a `Hostile` feed publishes like an
installation, in memory, and lets a test change every file on its way, with the keys of whoever it plays.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from lockgate.core.metadata import TIMESTAMP, period_of, slow_files, write_snapshot, write_timestamp
from lockgate.core.revocation import Revocations
from lockgate.formats import canonical, tuf
from lockgate.formats.names import Name
from tests.world import carried, key, policy, trust

LIFE = timedelta(minutes=10)
ONLINE = ("prod-updates",)
OFFLINE = ("root1", "root2")


class Hostile:
    """A feed in memory (port `Feed`). `publish` makes it honest; what a test does afterwards makes it hostile."""

    def __init__(self):
        self.now = datetime.now(UTC)
        self.files, self.asked, self.roots = {}, [], {}
        self.online, self.held = key("prod-updates"), None
        self.trust, self.policy = trust(), policy()
        self.revoked = Revocations(Name("prod"), ())
        self.publish()

    def publish(self, trusted=None, ruled=None, revoked=None, *, signers=OFFLINE, at=None):
        """Publish the next documents, or the next deny-list, as an honest server does."""
        self.trust, self.policy, self.revoked = trusted or self.trust, ruled or self.policy, revoked or self.revoked
        if self.held is None or trusted or ruled:
            self.held = carried(self.trust, self.policy, *signers, held=self.held)
        self.roots[self.trust.version] = self.held.root
        snapshot = write_snapshot(self.trust, self.policy, self.held.targets, self.revoked, self.online)
        period = period_of(at or self.now, LIFE)
        self.files |= {**slow_files(self.held, self.roots), **snapshot.files}
        self.files[TIMESTAMP] = write_timestamp(snapshot, period, LIFE, self.online)

    def stream(self, place):
        """Give a file."""
        self.asked.append(place)
        content = self.files.get(place)
        return None if content is None else iter([content])

    def said(self, place):
        """Read what a file says."""
        return dict(tuf.parse(self.files[place]).signed)

    def say(self, place, signed, signers):
        """Put a file there that these keys have signed."""
        self.files[place] = tuf.sign(signed, [key(name) for name in signers]).encode()

    def change(self, place, signers, **members):
        """Say something else in a file, and sign it with these keys."""
        self.say(place, {**self.said(place), **members}, signers)

    def move(self, role, signers, **members):
        """Say something else in the newest file of a role, as its next version; return where that is."""
        place = self.newest(role)
        version = members.pop("version", tuf.version(self.said(place)) + 1)
        self.say(f"{version}.{role}.json", {**self.said(place), "version": version, **members}, signers)
        return f"{version}.{role}.json"

    def bind(self, *, snapshot=None, timestamp=None, signers=ONLINE, **pins):
        """With the online key: sign a snapshot and a timestamp over whatever lies there; `pins` gives other versions.

        `snapshot` and `timestamp` change what the two say before they are signed.
        """
        meta = {f"{role}.json": self._meta(pins.get(role) or self.newest(role)) for role in ("targets", "revocations")}
        where = self.move("snapshot", signers, **{"meta": meta, **(snapshot or {})})
        version = tuf.version(self.said(TIMESTAMP)) + 1
        about = {"snapshot.json": self._meta(where)}
        self.change(TIMESTAMP, signers, **{"version": version, "meta": about, **(timestamp or {})})

    def newest(self, role):
        """Name the newest file of a role."""
        return f"{max(int(place.split('.')[0]) for place in self.files if place.endswith(f'.{role}.json'))}.{role}.json"

    def _meta(self, place):
        return {"version": tuf.version(self.said(place)), **dict(tuf.write_file(self.files[place]))}


def renewed():
    """Write the next trust document, with a fresh key for updates."""
    fresh = key("fresh").public
    signers = tuple(replace(one, key=fresh) if one.purpose == "updates" else one for one in trust().signers)
    return replace(trust(), version=2, signers=signers)


def respelled(feed, place, **spoilt):
    """Spoil every signature of a file."""
    document = json.loads(feed.files[place])
    document["signatures"] = [{**one, **spoilt} for one in document["signatures"]]
    feed.files[place] = canonical.encode(document)
