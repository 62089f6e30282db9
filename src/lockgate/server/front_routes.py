"""Who comes in, and is the server well?"""

from collections import Counter

from starlette.exceptions import HTTPException
from starlette.responses import Response

from lockgate.app.examine import damaged
from lockgate.errors import VerificationError
from lockgate.server.metrics import MEDIA_TYPE
from lockgate.server.telling import readiness, samples
from lockgate.server.visit import Body, Here, Open, Said, answer, read


def post_session(desk: Open, body: Body) -> Response:
    """Open a session with a signed intent: act `session.open`, object the environment, expiry within five minutes."""
    order = read(Said, body)
    try:
        opened = desk.sessions.open(order.intent, desk.clock())
    except VerificationError as e:  # who it is not is nobody's business
        raise HTTPException(401, headers={"www-authenticate": "Bearer"}) from e
    return answer(opened)


def get_health(desk: Open) -> Response:
    """Say that the server runs, and for which environment."""
    return answer({"status": "ok", "environment": str(desk.installation.environment)})


def get_ready(desk: Open) -> Response:
    """Say that the database answers, that its log is the one that was signed (503 says why not), and who is told."""
    watch = desk.installation.watch
    watch.check(watch.known(to_act=True), *desk.installation.history.root())
    return answer({"status": "ready"} | readiness(desk.tellers))


def get_metrics(visit: Here) -> Response:
    """Give the counters to Prometheus."""
    watch = visit.installation.watch
    found = Counter(one.finding for one in damaged(visit.installation))
    gauges = {
        "lockgate_rollback_targets_damaged": ("Endpoints whose former release is not whole.", found["damaged"]),
        "lockgate_rollback_targets_unknown": ("Endpoints whose former release nobody could read.", found["unknown"]),
        "lockgate_log_size": ("Entries in the log.", visit.installation.history.size()),
        "lockgate_log_anchored": ("Entries that the signer remembers.", watch.anchored),
        "lockgate_log_frozen": (
            "1 while the log in the database is not the one that was signed.",
            int(bool(watch.frozen)),
        ),
        "lockgate_listeners": ("Hosts' lines on which the server speaks.", visit.desk.herald.listening),
    }
    told = "".join(f"{line}\n" for line in samples(visit.desk.tellers))
    return Response(visit.desk.meters.render(gauges) + told, media_type=MEDIA_TYPE)
