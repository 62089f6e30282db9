"""How does a host know how to reach its bindings? By a file that nobody else may read, in words that are known."""

import pytest

from lockgate.errors import VerificationError
from lockgate.formats.names import Name
from lockgate.host_wiring import Site, open_bindings
from tests.world import key

CRM = """
[crm]
kind = "webhook"
url = "https://crm.example/lockgate"
probe_url = "https://crm.example/use?x=1"
"""

DATABASE = """
[database]
kind = "postgres"
address = "host=db.example dbname=desk sslmode=verify-full"
user = "binder"
password_file = "secret"
group = "readers"
"""
MEMORY = """
[memory]
kind = "redis"
address = "127.0.0.1:6379"
user = "binder"
password_file = "secret"
"""

BADGE = """
[badge]
kind = "credential"
listen = "192.0.2.1:8423"
secret_file = "secret"
"""


TOOLS = """
[tools]
kind = "mcp"
url = "http://127.0.0.1:1/mcp"
secret_file = "empty"
"""


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path, Name("host-1"), key("host-1"))


def written(site, text, mode=0o600):
    path = site.home / "bindings.toml"
    path.write_text(text)
    path.chmod(mode)


def test_without_a_file_there_are_none(site):
    assert open_bindings(site) == {}


def test_what_is_written_is_made_ready_without_asking_anybody(site):
    written(
        site, CRM + CRM.replace("crm]", "desk]").replace("https://", "http://") + "private = true\ntls_ca = 'ca.pem'"
    )

    found = open_bindings(site)

    assert {str(name): wired.kind for name, wired in found.items()} == {"crm": "webhook", "desk": "webhook"}

    pytest.importorskip("psycopg")
    pytest.importorskip("redis")
    (site.home / "secret").write_text("secret\n")
    (site.home / "secret").chmod(0o600)
    written(site, DATABASE + MEMORY)
    assert [wired.kind for wired in open_bindings(site).values()] == ["postgres", "redis"]

    for host in ("/run/postgresql", "@abstract", "localhost", "127.0.0.1", "::1"):
        written(site, DATABASE.replace("host=db.example", f"host={host}").replace("sslmode=verify-full", ""))
        assert open_bindings(site)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("crm = 5", "crm is no table"),
        ("[crm", "is not TOML"),
        ("[Crm]", "not a name"),
        (CRM.replace("webhook", "web"), "there is no kind 'web'"),
        (CRM.replace('kind = "webhook"', ""), "kind is not text"),
        (CRM.replace("probe_url", "probe"), "probe_url is not text"),
        (CRM + "private = 1", "private is neither true nor false"),
        (CRM + "retries = 5", "nobody knows what 'retries' means"),
        (CRM + "tls_ca = 5", "tls_ca is not text"),
        (CRM.replace("https://crm.example/lockgate", "http://crm.example/"), "http is for private addresses"),
        (CRM.replace("https://crm", "https://user:secret@crm"), "without a user"),
        (DATABASE.replace("dbname", "user=x dbname"), "address says user"),
        (DATABASE.replace("host=", "host "), "not written as libpq"),
        (DATABASE.replace(" sslmode=verify-full", ""), "it takes sslmode=verify-full"),
        (DATABASE.replace("verify-full", "verify-ca"), "it takes sslmode=verify-full"),
        (
            DATABASE.replace("host=db.example", "host=localhost.example").replace("full", "ca"),
            "takes sslmode=verify-full",
        ),
        (DATABASE.replace("host=db.example", "host=db.example,localhost"), "does not name one host"),
        (DATABASE.replace("host=db.example", "host=localhost port=1,2"), "does not name one host"),
        (DATABASE.replace("host=db.example", "host=''"), "does not name one host"),
        (DATABASE.replace("host=db.example ", ""), "does not name one host"),
        (DATABASE.replace("dbname", "hostaddr=192.0.2.1 dbname"), "address says hostaddr"),
        (DATABASE.replace("dbname", "require_auth=none dbname"), "address says require_auth"),
        (DATABASE.replace('group = "readers"', ""), "group is not text"),
        (MEMORY.replace("6379", "0"), "written HOST:PORT"),
        (MEMORY.replace("127.0.0.1", "memory.example"), "it takes tls = true"),
        (MEMORY.replace('"secret"', '"open"'), "others may read"),
        (MEMORY.replace('"secret"', '"empty"'), "password_file names is empty"),
        (DATABASE.replace('"secret"', '"empty"'), "password_file names is empty"),
        (BADGE.replace("192.0.2.1", "127.0.0.1").replace('"secret"', '"empty"'), "secret_file names is empty"),
        (TOOLS, "secret_file names is empty"),
        (BADGE, "no loopback address"),
        (BADGE.replace("192.0.2.1:8423", "8423"), "not an IP address"),
    ],
)
def test_a_near_miss_is_refused_without_telling_it(site, text, why):
    written(site, text)
    for name, mode, secret in (("secret", 0o600, "secret"), ("open", 0o644, "secret"), ("empty", 0o600, " \n")):
        (site.home / name).write_text(secret)
        (site.home / name).chmod(mode)

    with pytest.raises(VerificationError, match=why) as told:
        open_bindings(site)
    assert "secret@" not in str(told.value) and "crm.example" not in str(told.value)


@pytest.mark.parametrize("mode", [0o644, 0o602, 0o606])
def test_what_others_may_read_is_refused(site, mode):
    written(site, CRM, mode)

    with pytest.raises(VerificationError, match="others may read"):
        open_bindings(site)
