"""Does a release run with the distributions that it was tested with, and with no others?"""

import pytest

from lockgate.core.release import Serve
from lockgate.errors import VerificationError
from lockgate.loader.hand_over import Handed
from lockgate.loader.opening import check_installed, check_lock, installed_distributions

INSTALLED = {"numpy": "2.4.6", "onnxruntime": "1.31.1"}
PYTHON = Serve(("{python}", "-m", "server"), {})


@pytest.mark.parametrize(
    "lock", [b"", b"# nothing\n", b"numpy==2.4.6\n", b"NumPy==2.4.6\nonnxruntime==1.31.1", b"\n numpy==2.4.6 \n"]
)
def test_what_is_installed_as_the_lock_says_is_accepted(lock):
    check_lock(lock, INSTALLED)


@pytest.mark.parametrize(
    ("lock", "says"),
    [
        (b"numpy==2.4.7", "numpy is 2.4.6, the lock says 2.4.7"),
        (b"scipy==1.0", "scipy is not installed, the lock says 1.0"),
        (b"numpy==2.4.6\nscipy==1.0", "scipy is not installed"),
        (b"numpy>=2", "not NAME==VERSION"),
        (b"numpy==", "not NAME==VERSION"),
        (b"numpy == 2.4.6", "not NAME==VERSION"),
        (b"-r other.txt", "not NAME==VERSION"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_what_is_installed_otherwise_or_not_plainly_pinned_is_refused(lock, says):
    with pytest.raises(VerificationError, match=says):
        check_lock(lock, INSTALLED)


def admitted(world, tmp_path, lock, serve):
    release = world.register(lock=lock, serve=serve)
    world.attest(release)
    number = world.open(release)
    world.approve(number)
    world.activate(number)
    (tmp_path / "requirements.txt").write_bytes(lock)
    paths = {"dependency-lock/requirements.txt": str(tmp_path / "requirements.txt")}
    return world.admit(), Handed("memfd", paths, None, ())


def test_the_lock_of_a_release_is_compared_with_this_interpreter(world, tmp_path):
    numpy = installed_distributions()["numpy"]

    check_installed(*admitted(world, tmp_path, f"numpy=={numpy}\n".encode(), PYTHON))


def test_a_release_whose_lock_says_otherwise_is_not_run(world, tmp_path):
    with pytest.raises(VerificationError, match="not those of the dependency lock: numpy is"):
        check_installed(*admitted(world, tmp_path, b"numpy==0.0.1\n", PYTHON))


def test_a_release_with_a_lock_runs_with_this_interpreter_and_no_other(world, tmp_path):
    with pytest.raises(VerificationError, match=r"must start with \{python\}"):
        check_installed(*admitted(world, tmp_path, b"# none\n", Serve(("python3", "-m", "server"), {})))
