"""How are documents read that people wrote?"""

import pytest

from lockgate.cli.simulating import written
from lockgate.errors import VerificationError


def test_a_document_is_yaml_or_json_and_may_leave_out_its_type(tmp_path):
    path = tmp_path / "policy.yaml"

    for text in ("version: 2\nrules: {a: [1]}\n", '{"version": 2, "rules": {"a": [1]}, "type": "policy/v1"}'):
        path.write_text(text)
        assert written(path, "policy") == {"type": "policy/v1", "version": 2, "rules": {"a": [1]}}


@pytest.mark.parametrize("deep", ["[", "{a: ", "- ", "? "])
@pytest.mark.parametrize("depth", [33, 1_000, 100_000])
def test_what_is_deeper_than_json_may_be_is_not_read_to_its_end(tmp_path, deep, depth):
    path = tmp_path / "policy.yaml"
    path.write_text(deep * depth)

    with pytest.raises(VerificationError, match="nested deeper than 32"):
        written(path, "policy")


def test_what_is_as_deep_as_json_may_be_is_read(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("a: " + "[" * 31 + "]" * 31)

    assert str(written(path, "policy")).count("[") == 31
