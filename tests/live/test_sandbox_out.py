"""What comes out of a sandbox? What the outside saw, and regular files; nothing that a job says about itself."""

import json
import os
import socket
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from lockgate.drivers.bubblewrap import outer
from lockgate.drivers.bubblewrap.outer import Bubblewrap
from lockgate.drivers.bubblewrap.view import own_programs
from lockgate.errors import UnavailableError, VerificationError
from lockgate.evaluator.sandbox import LAYERS, Job, Limits
from tests.live.test_sandbox_limits import patiently

LINKS = """
import os, socket
open('/out/plain', 'w').write('plain')
os.makedirs('/out/a/b'); open('/out/a/b/c', 'w').write('deep')
os.symlink('/etc/passwd', '/out/link'); os.symlink('plain', '/out/link-within'); os.symlink('/', '/out/folder-link')
os.mkfifo('/out/pipe')
socket.socket(socket.AF_UNIX).bind('/out/socket')
os.link('/out/plain', '/out/hard')
try: os.link('/etc/passwd', '/out/hard-to-the-host')
except OSError: pass
open('/out/hidden', 'w').write('x'); os.chmod('/out/hidden', 0)
open('/out/new\\nline', 'w').write('x')
os.makedirs('/out/' + '/'.join('d' * 30)); open('/out/' + '/'.join('d' * 30) + '/deepest', 'w').write('x')
"""
FORGES = """
import json, os
lie = json.dumps({"code": 0, "why": None, "isolation": ["all"]}).encode()
for descriptor in range(3, 1024):
    try: os.write(descriptor, lie); print('wrote to', descriptor, flush=True)
    except OSError: pass
for name in os.listdir('/proc/self/fd'):
    try: os.dup2(1, int(name)) if int(name) > 2 else None
    except OSError: pass
print(lie.decode(), flush=True)
os.close(0); os.close(1); os.close(2)
os._exit(3)
"""
AT_PID_ONE = """
import os, signal
for number in signal.valid_signals():
    try: os.kill(1, number)
    except OSError: pass
try: os.kill(-1, signal.SIGTERM)
except OSError: pass
"""


def python(code, **more):
    return Job((sys.executable, "-c", code), **{"limits": Limits(seconds=60), **more})


@pytest.fixture
def box():
    return Bubblewrap()


def test_only_regular_files_come_out_and_no_link_is_followed(box):
    found = box.run(python(LINKS))

    assert found.code == 0, found.said
    hidden = {"hidden": b"x"} if os.getuid() == 0 else {}  # its owner cannot open it, root can
    assert found.files == {"plain": b"plain", "hard": b"plain", "a/b/c": b"deep"} | hidden


def test_programs_that_lie_where_the_disk_is_are_seen(tmp_path):
    (tmp_path / "tool").write_text("a tool")

    found = Bubblewrap(programs=(*own_programs(), tmp_path)).run(python(f"print(open('{tmp_path}/tool').read())"))

    assert (found.code, found.said) == (0, b"a tool\n"), found.said


def test_too_many_files_are_none(box):
    found = box.run(python("for i in range(2000): open(f'/out/{i}', 'w').close()"))

    assert (found.why, found.files) == ("disk", {})


def test_a_job_cannot_say_how_it_ended(box):
    found = box.run(python(FORGES))

    assert (found.code, found.why) == (3, None)
    assert b"wrote to" not in found.said
    assert set(found.isolation) <= set(LAYERS)


def test_signals_at_pid_1_do_nothing(box):
    found = box.run(
        python("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + AT_PID_ONE + "print('on')")
    )

    assert (found.code, found.said) == (0, b"on\n")


def test_a_program_that_is_not_there(box):
    found = box.run(Job(("no-such-program",)))

    assert (found.code, found.said) == (127, b"cannot run no-such-program: No such file or directory\n")


def test_an_input_that_is_not_there(box, tmp_path):
    with pytest.raises(UnavailableError, match="cannot show"):
        box.run(python("pass", inputs={"model": tmp_path / "nowhere"}))


def test_inputs_of_any_mode_are_read_and_never_written(box, tmp_path):
    for name in ("folder", "single"):
        path = tmp_path / "folder" / "weights" if name == "folder" else tmp_path / "single"
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
        path.chmod(0o400)
    (tmp_path / "folder").chmod(0o700)
    code = "print(open('/in/folder/weights').read(), open('/in/single').read())\nopen('/in/single', 'w')"

    found = box.run(python(code, inputs={"folder": tmp_path / "folder", "single": tmp_path / "single"}))

    assert b"folder single\n" in found.said and b"Read-only file system" in found.said


def test_the_environment_is_what_the_job_says_and_no_more(box):
    found = box.run(python("import os, json; print(json.dumps(dict(os.environ)))", environment={"LANG": "C.UTF-8"}))

    assert json.loads(found.said) == {"LANG": "C.UTF-8"}


@pytest.mark.parametrize("layer", ["seccomp", "landlock", "cgroup"])
def test_a_layer_that_is_missing_stops_it_unless_the_weaker_mode_was_named(monkeypatch, layer):
    lacking = {layer: "this kernel is old"}
    heard = outer._hear
    monkeypatch.setattr(outer, "_hear", lambda *given: (heard(*given)[0], dict(lacking)))

    with pytest.raises(UnavailableError, match=f"no {layer}: this kernel is old; .*{layer} may lack"):
        Bubblewrap(allow=frozenset()).run(python("print('ran')"))
    found = Bubblewrap(allow=frozenset({layer})).run(python("print('ran')"))

    assert found.said == b"ran\n"
    assert layer not in found.isolation


@pytest.mark.parametrize("layer", ["namespaces", "limits", "walls"])
def test_other_layers_cannot_lack(layer):
    with pytest.raises(VerificationError, match="may lack, not"):
        Bubblewrap(allow=frozenset({layer}))


def test_without_bubblewrap_nothing_runs():
    with pytest.raises(UnavailableError, match=r"cannot run /nowhere/bwrap: No such file .* package bubblewrap"):
        Bubblewrap(bwrap="/nowhere/bwrap").run(python("pass"))


SERVES = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'x' * 3_000_000)
http.server.ThreadingHTTPServer(('127.0.0.1', 8000), Answer).serve_forever()
"""


def ask(path):
    with socket.socket(socket.AF_UNIX) as calling:
        calling.settimeout(60)
        calling.connect(str(path))
        calling.sendall(b"GET / HTTP/1.0\r\n\r\n")
        said = b""
        while piece := calling.recv(1 << 16):
            said += piece
        return said


def test_a_job_that_serves_is_reached_by_its_socket_only(box):
    with box.serve(python("import time; time.sleep(1)\n" + SERVES, port=8000)) as served:
        assert len(ask(served.socket)) > 3_000_000  # a call waits until somebody listens
        assert Path(served.socket).parent.stat().st_mode & 0o777 == 0o700
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", 8000), timeout=5)
        outcome = served.end()

        assert outcome.code == -9 and "namespaces" in served.isolation
        with pytest.raises(OSError):
            ask(served.socket)
    assert not served.socket.exists()


def test_a_call_is_refused_when_the_job_is_dead(box):
    with box.serve(python("raise SystemExit(5)", port=8000)) as served:
        patiently(lambda: _is_refused(served.socket))

        assert served.end().code == 5


def _is_refused(path):
    with socket.socket(socket.AF_UNIX) as calling:
        try:
            calling.connect(str(path))
        except ConnectionRefusedError:
            return True
        return False


def test_a_job_reaches_another_through_its_port_and_nothing_else(box):
    code = "import urllib.request as u; print(len(u.urlopen('http://127.0.0.1:9000').read()))"
    with box.serve(python(SERVES, port=8000)) as served:
        found = box.run(python(code, reach={9000: served.socket}))
        alone = box.run(python(code, reach={9001: served.socket}))

    assert found.said == b"3000000\n"
    assert b"refused" in alone.said or b"Permission denied" in alone.said


def test_descriptors_do_not_pass_the_relay(box):
    """What is sent along with bytes is thrown away: the job gets the bytes, and has no more open than before."""
    code = """
import os, socket
door = socket.create_server(('127.0.0.1', 8000)); caller, _ = door.accept()
said, found, _, _ = socket.recv_fds(caller, 100, 4)
caller.sendall(repr((said, found)).encode())
"""
    secret, _ = os.pipe()
    with box.serve(python(code, port=8000)) as served, socket.socket(socket.AF_UNIX) as calling:
        calling.connect(str(served.socket))
        socket.send_fds(calling, [b"hello"], [secret])

        assert calling.recv(100) == b"(b'hello', [])"


class Web:
    """A server of the host that tells who came."""

    def __enter__(self):
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        threading.Thread(target=self._answer, daemon=True).start()
        return self

    def _answer(self):
        while True:
            try:
                caller, _ = self.door.accept()
            except OSError:
                return
            caller.recv(1 << 16)
            caller.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\nreached")
            caller.close()

    def __exit__(self, *_):
        self.door.close()


CONNECTS = """
import os, socket, sys
proxy = ('127.0.0.1', int(os.environ['HTTPS_PROXY'].rpartition(':')[2]))
for wanted in sys.argv[1:]:
    with socket.create_connection(proxy) as calling:
        calling.sendall(f'CONNECT {wanted} HTTP/1.1\\r\\n\\r\\n'.encode())
        status = calling.recv(100).split()[1].decode()
        if status == '200': calling.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
        print(wanted, status, calling.recv(100)[-7:].decode() if status == '200' else '')
"""


def test_the_proxy_lets_listed_hosts_through_and_writes_down_the_rest(box):
    with Web() as web:
        here = f"127.0.0.1:{web.port}"
        refused = [
            f"localhost:{web.port}",
            "169.254.169.254:80",
            "example.com:443",
            f"127.1:{web.port}",
            f"[::1]:{web.port}",
        ]
        hosts = (here, f"localhost:{web.port}")  # a name that leads to this machine is not an address that was named
        job = Job((sys.executable, "-c", CONNECTS, here, *refused), hosts=hosts)
        found = box.run(job)

        assert found.said.decode().split("\n")[:-1] == [f"{here} 200 reached", *(f"{each} 403 " for each in refused)]
        assert [line.split(" ")[0] for line in found.denied] == refused
        with urllib.request.urlopen(f"http://{here}") as answer:
            assert answer.read() == b"reached"


@pytest.mark.parametrize(
    "head", ["GET http://example.com/ HTTP/1.1\r\n\r\n", "CONNECT \r\n\r\n", "x" * 9000, "\0\r\n\r\n"]
)
def test_the_proxy_knows_nothing_but_connect(box, head):
    code = f"""
import os, socket
with socket.create_connection(('127.0.0.1', int(os.environ['HTTPS_PROXY'].rpartition(':')[2]))) as calling:
    calling.sendall({head!r}.encode()); calling.shutdown(socket.SHUT_WR)
    print(calling.recv(100))
"""
    found = box.run(python(code, hosts=("example.com:443",)))

    assert b"403" in found.said
    assert len(found.denied) == 1
