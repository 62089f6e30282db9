"""Is every lease request answered, from what was true after it came, however many come at once?"""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.journal import Denied, endpoint_subject, read_fact, revocation_subject
from lockgate.core.lease import Request, Want, open_grant, sign_request
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from lockgate.server import lease_desk
from lockgate.server.pace import Pace
from tests.app.test_watch import backup, restore
from tests.server.served import API
from tests.world import PROD, World, key

LEASES = f"{API}/leases"
JSON = {"content-type": "application/json"}


def asking(served, who="host-1", *, nonce="0123456789abcdef", wants=None):
    wants = wants or (Want(PROD, served.world.endpoint().stable.release),)
    return Request(Name(who), nonce, wants, "sealed")


def post(served, request, signer=None):
    document = sign_request(request, key(signer or str(request.node)))
    return served.client.post(LEASES, content=document, headers=JSON)


def granted(served, request):
    answer = post(served, request)
    assert answer.status_code == 200, answer.text
    return len(open_grant(answer.content, request, served.world.trust, served.world.now).granted)


def test_a_node_needs_no_session(served):
    served.world.serve()

    assert granted(served, asking(served)) == 1
    assert 'lockgate_leases_total{answer="granted"} 1' in served.get("ann", "/metrics").text


def test_many_wants_get_one_signed_answer(served):
    served.world.serve()
    others = tuple(Want(Endpoint.parse(f"prod/e{number}"), Digest.of(b"x")) for number in range(255))
    request = asking(served, wants=(Want(PROD, served.world.endpoint().stable.release), *others))

    answer = open_grant(post(served, request).content, request, served.world.trust, served.world.now)

    assert (len(answer.granted), len(answer.refused)) == (1, 255)


@pytest.mark.parametrize(
    ("who", "signer", "status"),
    [
        ("host-1", "mallory", 422),
        ("host-1", "dave", 422),
        ("nobody", "host-1", 422),
        ("dave", "dave", 403),
        ("ci", "ci", 403),
    ],
)
def test_who_is_no_agent_gets_nothing(served, who, signer, status):
    served.world.serve()

    assert post(served, asking(served, who), signer).status_code == status


def test_that_somebody_known_may_not_ask_is_recorded_once_a_minute(served):
    served.world.serve()
    for number in range(3):
        post(served, asking(served, "dave", nonce=f"{number:016}"))

    facts = [read_fact(entry) for entry in served.world.memory.log]
    denials = [(envelope.actor, event.act) for envelope, event in facts if isinstance(event, Denied)]
    assert denials == [("dave", "lease.ask")]
    assert 'lockgate_denials_total{act="lease.ask"} 3' in served.get("ann", "/metrics").text


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b"[" * 100_000, b'{"payload":"","payloadType":"x","signatures":[]}']
)
def test_nonsense_is_refused(served, body):
    assert served.client.post(LEASES, content=body, headers=JSON).status_code == 422


def test_a_request_has_a_limit_of_its_own(served):
    assert served.client.post(LEASES, content=b" " * (128 << 10), headers=JSON).status_code == 422
    assert served.client.post(LEASES, content=b" " * ((128 << 10) + 1), headers=JSON).status_code == 413
    assert served.client.post(LEASES, content=b"{}").status_code == 415
    assert served.client.get(LEASES).status_code == 401


def test_without_a_policy_there_are_no_leases(served):
    served.world.serve()
    request = asking(served)
    subject = next(each for each in served.world.memory.states if each.kind == "rulebook")
    state, *rest = served.world.memory.states[subject]
    served.world.memory.states[subject] = (replace(state, policy_envelope=None), *rest)

    answer = post(served, request)

    assert (answer.status_code, "has no policy yet" in answer.json()["detail"]) == (409, True)
    served.world.memory.states[subject] = (state, *rest)


def test_a_log_that_was_put_back_grants_nothing(served):
    served.world.serve()
    before = backup(served.world)
    served.world.shut_down()
    after = backup(served.world)
    assert granted(served, asking(served)) == 0
    restore(served.world, before)

    answer = post(served, asking(served))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "the log is frozen" in answer.json()["detail"]
    restore(served.world, after)


class Slow:
    """Reads that begin, and then wait until they are let through; what they read is what was true at their start."""

    def __init__(self, memory):
        self.memory, self.begun = memory, 0
        self.gate, self.entered = threading.Event(), threading.Semaphore(0)

    def __getattr__(self, name):
        return getattr(self.memory, name)

    def view(self, subjects):
        release = self.memory.find(endpoint_subject(PROD)).slots[-1].release
        found = self.memory.view([*subjects, endpoint_subject(PROD), revocation_subject(release)])
        self.begun += 1
        self.entered.release()
        assert self.gate.wait(30)
        return found


@pytest.fixture
def slow(served, monkeypatch):
    served.world.serve()
    assert granted(served, asking(served)) == 1
    reads = Slow(served.world.memory)
    monkeypatch.setattr(served.database, "view", reads.view, raising=False)
    return reads


def test_whoever_asks_while_a_look_is_under_way_is_answered_from_a_later_one(served, slow):
    with ThreadPoolExecutor(40) as threads:
        first = threads.submit(granted, served, asking(served))
        slow.entered.acquire()
        served.world.shut_down()
        later = [threads.submit(granted, served, asking(served, nonce=f"{number:016}")) for number in range(30)]
        while waiting(served) < 30:
            threading.Event().wait(0.01)
        slow.gate.set()

        assert first.result() == 1, "it was asked before the shutdown"
        assert [each.result() for each in later] == [0] * 30
    assert slow.begun == 2, "those that waited shared a look"


def waiting(served):
    return len(served.app._app.inner.state.desk.leases._waiting)


def test_whoever_finds_too_many_waiting_is_told_so(served, slow, monkeypatch):
    monkeypatch.setattr(lease_desk, "MOST_WAITING", 2)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(granted, served, asking(served))
        slow.entered.acquire()
        later = [threads.submit(granted, served, asking(served, nonce=f"{number:016}")) for number in range(2)]
        while waiting(served) < 2:
            threading.Event().wait(0.01)

        assert post(served, asking(served)).status_code == 503
        slow.gate.set()
        assert [first.result(), *(each.result() for each in later)] == [1, 1, 1]


def test_a_bug_of_ours_is_no_answer_and_the_next_one_is_served(served, monkeypatch):
    served.world.serve()
    request = asking(served)

    def broken(*_):
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(served.database, "view", broken, raising=False)
    caller = served.caller(raise_server_exceptions=False)
    answer = caller.post(LEASES, content=sign_request(request, key("host-1")), headers=JSON)
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    monkeypatch.undo()

    assert granted(served, request) == 1


def test_a_node_that_asks_too_often_waits_and_others_do_not():
    now = [0.0]
    pace = Pace("asks for leases", 50, 200, lambda: now[0])
    host, other = Name("host-1"), Name("host-2")
    for _ in range(200):
        pace.admit(host)

    with pytest.raises(UnavailableError, match="host-1 asks for leases more than 50 times a second"):
        pace.admit(host)
    pace.admit(other)
    now[0] = 0.02
    pace.admit(host)
    with pytest.raises(UnavailableError):
        pace.admit(host)


def test_who_signs_in_the_name_of_another_node_does_not_use_up_its_pace(served):
    served.world.serve()
    for number in range(250):
        assert post(served, asking(served, nonce=f"{number:016}"), "mallory").status_code == 422

    assert granted(served, asking(served)) == 1


def test_the_fleet_is_what_nodes_asked_for(served):
    served.world.serve()
    release = served.world.endpoint().stable.release
    granted(served, asking(served))
    granted(served, asking(served, wants=(Want(Endpoint.parse("prod/other"), Digest.of(b"x")),)))
    post(served, asking(served), "mallory")

    items = served.get("bob", "fleet").json()["items"]

    assert [(one["node"], one["endpoint"], one["granted"]) for one in items] == [
        ("host-1", "prod/magika", True),
        ("host-1", "prod/other", False),
    ]
    assert items[0]["release"] == str(release)
    served.world.now += timedelta(days=1)
    served.tokens.clear()
    assert served.get("bob", "fleet").json()["items"] == []


def test_an_endpoint_that_the_policy_does_not_name_is_not_even_looked_for(served):
    served.world.serve()
    granted(served, asking(served, wants=(Want(Endpoint.parse("prod/other"), Digest.of(b"x")),)))
    subject = endpoint_subject(Endpoint.parse("prod/other"))
    assert subject not in World().memory.states

    seen = []
    real = served.world.memory.view
    served.database.view = lambda subjects: seen.append(list(subjects)) or real(subjects)
    granted(served, asking(served, wants=(Want(Endpoint.parse("prod/other"), Digest.of(b"x")),)))

    assert all(subject not in subjects for subjects in seen)
