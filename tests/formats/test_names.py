import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.formats.names import Endpoint, Name, Tag, Version

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True).map(Name)
numbers = st.integers(0, 10**9 - 1)
versions = st.builds(Version, numbers, numbers, numbers)


@given(names | versions | st.builds(Endpoint, names, names) | st.builds(Tag, names, versions))
def test_name_survives_its_text(name):
    assert type(name).parse(str(name)) == name


@pytest.mark.parametrize("text", ["a", "0", "a-", "a--b", "magika", "9" * 63, "a" + "-" * 62])
def test_good_name_is_taken(text):
    assert str(Name.parse(text)) == text


BAD_NAMES = [
    "",
    "-a",
    "A",
    "magikA",
    "a_b",
    "a.b",
    "..",
    "a/b",
    "a@b",
    "a b",
    " a",
    "a ",
    "a\n",
    "\na",
    "a\nb",
    "a\0",
    "a" * 64,
    "é",
    "а",  # noqa: RUF001 - Cyrillic
    "ａ",  # noqa: RUF001 - full width
    "a٣",
    "a\u0301",
    "a\u200b",
    "ß",
    "a\ud800",
]


@pytest.mark.parametrize("text", BAD_NAMES)
def test_near_miss_of_a_name_is_refused(text):
    for read in (
        Name,
        Name.parse,
        lambda text: Endpoint.parse(f"prod/{text}"),
        lambda text: Tag.parse(f"{text}@1.0.0"),
    ):
        with pytest.raises(VerificationError, match="not a"):
            read(text)


@pytest.mark.parametrize(
    "text", ["", "prod", "/", "prod/", "/magika", "prod//magika", "prod/magika/", "prod/a/b", "prod\\a"]
)
def test_near_miss_of_an_endpoint_is_refused(text):
    with pytest.raises(VerificationError, match="not a"):
        Endpoint.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.2",
        "1.2.3.4",
        "1.2.",
        ".2.3",
        "1..3",
        "01.2.3",
        "1.02.3",
        "1.2.03",
        "00.0.0",
        "-1.2.3",
        "+1.2.3",
        "1.2.3-rc1",
        "1.2.3+build",
        "v1.2.3",
        "1.2.3\n",
        " 1.2.3",
        "1.2.3 ",
        "1,2,3",
        "1.2.x",
        "1_0.0.0",
        "1٣.0.0",
        "٣.0.0",
        "1.2.３",  # noqa: RUF001 - full width
        "1234567890.0.0",
        "0.0.1234567890",
        "1e3.0.0",
    ],
)
def test_near_miss_of_a_version_is_refused(text):
    with pytest.raises(VerificationError, match="not a version"):
        Version.parse(text)
    with pytest.raises(VerificationError, match="not a version"):
        Tag.parse(f"magika@{text}")


@pytest.mark.parametrize(
    "text", ["", "magika", "magika@", "@1.0.0", "magika@1.0.0@1.0.0", "magika:1.0.0", "magika@latest"]
)
def test_near_miss_of_a_tag_is_refused(text):
    with pytest.raises(VerificationError, match="not a"):
        Tag.parse(text)


def test_versions_are_ordered_as_numbers():
    texts = ["0.0.9", "0.0.10", "0.9.0", "0.10.0", "9.0.0", "10.0.0"]

    assert sorted(map(Version.parse, reversed(texts))) == list(map(Version.parse, texts))
