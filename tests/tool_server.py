"""A server of tools for tests of the door to it: it answers as MCP has it, and notes what it was asked.

The real `mcp` package is asked in the tests of the demo's agent; here it is about what no honest server would do.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOK_UP = {"name": "look-up", "description": "Looks an order up.", "inputSchema": {"type": "object"}}
DELETE = {"name": "delete", "description": "Deletes everything.", "inputSchema": {"type": "object"}}
SECRET = "what the door shows"


class ToolServer:
    """`tools` are listed; `count` is a tool that goes on until nobody listens; `events` makes it answer in a stream.

    `says` is answered to whatever is asked.
    """

    def __init__(self):
        self.tools, self.asked, self.events, self.trouble, self.says = [LOOK_UP, DELETE], [], False, "", ""
        outer = self

        class Visit(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.answer(self, json.loads(body))

            def do_DELETE(self):
                outer.asked.append(("DELETE", dict(self.headers)))
                say(self, 204, b"")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Visit)
        self.server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/mcp"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def called(self):
        return [
            body["params"]["name"]
            for body, _ in self.asked
            if isinstance(body, dict) and body["method"] == "tools/call"
        ]

    def answer(self, visit, body):
        self.asked.append((body, {name.lower(): text for name, text in visit.headers.items()}))
        if visit.headers.get("authorization") != f"Bearer {SECRET}":
            say(visit, 401, b"")
        elif self.trouble == "hangs up":
            visit.close_connection = True
        elif self.trouble == "endless":
            pour(visit)
        elif body["method"] == "tools/call" and body["params"]["name"] == "count":
            count(visit)
        else:
            result = {"tools": self.tools} if body["method"] == "tools/list" else {"said": body.get("params")}
            content = self.says or json.dumps({"jsonrpc": "2.0", "id": body.get("id"), "result": result})
            if self.events:
                say(visit, 200, f"event: message\r\ndata: {content}\r\n\r\n".encode(), "text/event-stream")
            else:
                say(visit, 200, content.encode())


def say(visit, status, content, kind="application/json"):
    visit.send_response(status)
    visit.send_header("content-type", kind)
    visit.send_header("mcp-session-id", "one")
    visit.send_header("x-inside", "nobody's business")
    if status != 204:
        visit.send_header("content-length", str(len(content)))
    visit.end_headers()
    visit.wfile.write(content)


def count(visit):
    visit.send_response(200)
    visit.send_header("content-type", "text/event-stream")
    visit.send_header("connection", "close")
    visit.end_headers()
    try:
        for number in range(100_000):
            told = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": number}}
            visit.wfile.write(f"data: {json.dumps(told)}\n\n".encode())
            time.sleep(0.01)
    except OSError:
        visit.close_connection = True


def pour(visit):
    visit.send_response(200)
    visit.send_header("content-type", "application/json")
    visit.send_header("content-length", str(1 << 30))
    visit.end_headers()
    try:
        for _ in range(1 << 14):
            visit.wfile.write(b" " * 65536)
    except OSError:
        visit.close_connection = True
