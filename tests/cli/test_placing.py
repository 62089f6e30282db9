"""Is a file that describes a cluster read strictly?"""

import pytest

from lockgate.cli.placing import described, placed
from lockgate.errors import LockgateError, UnavailableError, VerificationError
from tests.authority import authority

GOOD = {
    "api": "https://cluster.example:6443", "account": "account", "namespace": "trials", "claim": "evaluations",
    "image": f"registry.example/suites@sha256:{'a' * 64}", "loader": f"registry.example/us@sha256:{'b' * 64}",
    "folder": "claim",
}  # fmt: skip


def written(folder, **changes):
    path = folder / "cluster.toml"
    said = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    path.write_text("".join(f'{name} = "{value}"\n' for name, value in said.items()))
    return path


@pytest.fixture
def home(tmp_path):
    (tmp_path / "account").mkdir()
    (tmp_path / "account" / "ca.crt").write_bytes(authority("cluster").pem)
    return tmp_path


def test_a_place_in_a_cluster_is_below_the_claim_and_gone_afterwards(home):
    (home / "claim").mkdir()

    with placed(written(home, runtime="gvisor"), frozenset({"landlock"})) as place:
        assert place.folder.parent == home / "claim" and place.folder.stat().st_mode & 0o777 == 0o755
        assert (place.python, place.workshop) == ("python3", place.folder)
    assert not place.folder.exists()
    with placed(None, frozenset()) as place:
        assert (place.python, place.workshop) == (None, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": "registry.example/suites:1"}, "not named by its digest"),
        ({"loader": "registry.example/us"}, "not named by its digest"),
        ({"api": "http://cluster.example"}, "is https://"),
        ({"namespace": "Trials"}, "not a name"),
        ({"claim": None}, "lacks|missing|without"),
        ({"more": "x"}, "more"),
        ({"account": '"'}, "is not TOML"),
    ],
)
def test_what_describes_no_cluster_is_refused(tmp_path, changes, reason):
    with pytest.raises(VerificationError, match=reason):
        described(written(tmp_path, **changes))


def test_a_claim_that_is_not_mounted_here_and_a_layer_that_cannot_lack_are_refused(home):
    with (
        pytest.raises(UnavailableError, match="it is where this machine sees evaluations"),
        placed(written(home), frozenset()),
    ):
        pass
    (home / "claim").mkdir()
    with (
        pytest.raises(LockgateError, match="may lack, not namespaces"),
        placed(written(home), frozenset({"namespaces"})),
    ):
        pass
