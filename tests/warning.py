"""How does a detector warn in tests?"""

from lockgate.app.raise_alert import raise_alert
from lockgate.formats import canonical
from lockgate.formats.digest import Digest
from tests.world import PROD


def warn(world, kind="jailbreak", severity="high", release=None, who="guard"):
    """Raise an alert about the endpoint, or about a release there."""
    data = {"kind": kind, "severity": severity} | ({"release": str(release)} if release else {})
    event = {"specversion": "1.0", "id": str(world.nonces), "source": "x", "type": "alert/v1"}
    event |= {"subject": str(PROD), "data": data}
    said = world.say(who, "alert.raise", PROD, before=release, after=Digest.of(canonical.encode(event)))
    raise_alert(world.installation, event, said, world.now)
