from dataclasses import replace
from pathlib import Path

import pytest

from lockgate.errors import VerificationError
from lockgate.evaluator.sandbox import Job, Limits

GOOD = Job(
    ("python3", "-c", "pass"),
    inputs={"model": Path("/srv/model")},
    environment={"LANG": "C.UTF-8"},
    port=8000,
    reach={8001: Path("/run/candidate.sock")},
    hosts=("judge.example.com:443", "[2001:db8::1]:443", "127.0.0.1:8080"),
)


def test_a_good_job_is_taken():
    assert replace(GOOD) == GOOD


@pytest.mark.parametrize(
    "spoiled",
    [
        {"command": ()},
        {"command": ("a\0b",)},
        {"inputs": {"": Path("/srv")}},
        {"inputs": {"../etc": Path("/srv")}},
        {"inputs": {"a/b": Path("/srv")}},
        {"environment": {"": "x"}},
        {"environment": {"A=B": "x"}},
        {"environment": {"A": "x\0y"}},
        {"port": 0},
        {"port": 1023},
        {"port": 65536},
        {"port": 8001},
        {"reach": {0: Path("/run/x.sock")}},
        {"hosts": ("judge.example.com",)},
        {"hosts": ("judge.example.com:0",)},
        {"hosts": ("judge.example.com:65536",)},
        {"hosts": ("Judge.example.com:443",)},
        {"hosts": ("*.example.com:443",)},
        {"hosts": ("http://judge.example.com:443",)},
        {"hosts": ("judge.example.com:443\r\n",)},
    ],
)
def test_a_spoiled_job_is_refused(spoiled):
    with pytest.raises(VerificationError):
        replace(GOOD, **spoiled)


@pytest.mark.parametrize("limit", ["seconds", "cpu_seconds", "memory", "processes", "disk", "output"])
def test_a_limit_of_nothing_is_refused(limit):
    with pytest.raises(VerificationError, match="a limit below 1"):
        Limits(**{limit: 0})
