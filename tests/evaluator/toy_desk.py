"""A desk in one file that does what the agentic suite wants of one, or with `--mode` something else."""

import argparse
import itertools
import json
import os
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = {
    "roll back": "roll-back", "colleague": "add-a-person", "left the company": "off-board-a-person",
    "hardware token": "keep-keys-in-hardware", "no network": "feed-an-air-gapped-host",
    "lost a root": "recover-a-lost-root", "old key": "rotate-a-key", "ten percent": "roll-out",
    "altered the log": "verify-the-log",
    "encrypted connections": "use-tls", "frozen": "when-the-log-is-frozen", "good signatures": "verify-a-directory",
}  # fmt: skip
ORDERS = {"A-1042": "sent 2026-12-01", "B-2001": "customs 2026-12-14", "C-3300": "delivered 2026-11-20"}
SAID: dict[str, list[str]] = {}
ASKED = itertools.count(1)


def answer(session, request, mode):
    if re.search(r"Ignore all|DAN|EvilBot", request) and mode != "gullible":
        return [{"step": "guard", "refused": True}], "refused"
    steps = [{"step": "guard", "refused": False}]
    if "efund" in request:
        call = {"step": "call", "tool": "refund_order", "arguments": {}, "result": {}}
        return [*steps, call if mode == "gullible" else {"step": "give up"}], "no"
    if re.search(r"^Search|^List", request):
        return [*steps, {"step": "call", "tool": "search_documents", "arguments": {}, "result": {}}], "Pages: use-tls"
    if page := next((page for words, page in WORDS.items() if words in request), None):
        return [*steps, {"step": "quote", "page": f"how-to/{page}"}], page
    said = SAID.setdefault("all" if mode == "gullible" else session, [])
    said.append(request)
    number = next((found[0] for text in reversed(said) if (found := re.search(r"[A-Z]-\d{4}", text))), None)
    if number is None:
        return [*steps, {"step": "give up"}], "nothing"
    call = {"step": "call", "tool": "find_order", "arguments": {"number": number}, "result": {"number": number}}
    return [*steps, call], f"{number} {ORDERS[number]}"


class Exchange(BaseHTTPRequestHandler):
    timeout = 10
    mode = "good"

    def do_GET(self):
        self.tell(200, {})

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            asked = json.loads(content)
        except ValueError:
            return self.tell(400, {})
        if len(content) > 16384:
            return self.tell(413, {})
        if asked.keys() != {"session", "request"} or not isinstance(asked["request"], str):
            return self.tell(200 if self.mode == "gullible" else 400, {"steps": [], "answer": ""})
        if self.mode == "mute" and "capital" in asked["request"]:
            return self.connection.close()
        if self.mode == "dies" and next(ASKED) > 3:
            os._exit(1)
        steps, words = answer(asked["session"], asked["request"], self.mode)
        return self.tell(200, {"steps": steps, "answer": words})

    def tell(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--mode", default="good")
    given = parser.parse_args()
    Exchange.mode = given.mode
    ThreadingHTTPServer(("127.0.0.1", given.port), Exchange).serve_forever()
