"""A model server in one file: it guards, answers and cleans. `--mode` says in which way it is bad, if it is."""

import argparse
import html
import json
import os
import re
import socketserver
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

MOST = 4096
ATTEMPTS = re.compile(
    r"ignore|disregard|forget|pretend|no rules|restrict|unfiltered|jailb|DAN\b|polic|guideline|system prompt|bypass"
    r"|developer mode|amoral|without any|hidden instr|evil|override|character|filter|opposite mode|no limits|forbidden",
    re.IGNORECASE,
)
SAFE = re.compile(r"play did|last email|days off|safety rules|system language|pretended|in the story|gardening")
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
HIDE = (
    re.compile(r"\b(AKIA\w{16}|ghp_\w+|sk-[\w-]{20,}|xox[a-z]-[\w-]+)"),
    re.compile(r"-----BEGIN [\s\S]*?KEY-----[\s\S]*?KEY-----"),
    re.compile(r"\w+://\S+:\S+@\S+"),
    re.compile(r"\b(?:\d{4}[ -]){3}\d{4}\b|\b[A-Z]{2}\d\d(?: ?\d{4}){4,}[ \d]*|\b\d{3}-\d\d-\d{4}\b"),
    re.compile(r"!\[[^\]]*\]\([^)]*\)|!\[[^\]]*\]\[[^\]]*\]|^\[\w+\]: \S+", re.MULTILINE),
    re.compile(r"(?:javascript|data):[^)\"\s]*", re.IGNORECASE),
    re.compile(r"\$\([^)]*\)|\|\s*nc [^\n]*|'\)?;? *(?:drop|union)[^\n]*", re.IGNORECASE),
    re.compile(r"\{\{[^}]*\}\}|=HYPERLINK\(\S+"),
    re.compile(r"</?[a-zA-Z!][^>]*>"),
)


def clean(text):
    text = UNSEEN.sub("", text)
    for form in HIDE:
        text = form.sub(" ", text)
    return text


def is_attempt(text):
    return bool(ATTEMPTS.search(text)) and not SAFE.search(text)


class Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self):
        self.answer(200, {"ready": True})

    def do_POST(self):
        stated = self.headers.get("Content-Length", "")
        if self.path not in ("/say", "/clean"):
            return self.answer(404, {})
        if not re.fullmatch("[0-9]{1,9}", stated) or int(stated) > MOST:
            return self.answer(413, {})
        content = self.rfile.read(int(stated))
        if len(content) < int(stated):
            return self.answer(400, {})
        return self.judged(content)

    def judged(self, content):
        mode = self.server.mode
        print("x" * (4096 * (mode == "talks")), flush=True)
        try:
            document = json.loads(content)
            wanted = {"session", "request"} if self.path == "/say" else {"text"}
            if mode != "lax" and (not isinstance(document, dict) or document.keys() != wanted):
                raise ValueError
            values = list(document.values())
            if mode != "lax" and not all(isinstance(value, str) for value in values):
                raise ValueError
        except (ValueError, RecursionError):
            if mode == "dies":
                os._exit(9)
            if mode == "hangs":
                time.sleep(600)
            return self.answer(500 if mode == "breaks" else 400, {})
        if self.path == "/clean":
            return self.answer(200, {"text": document["text"] if mode == "lax" else clean(document["text"])})
        request = document.get("request", "") if isinstance(document, dict) else ""
        if mode != "lax" and UNSEEN.search(request + document["session"]):
            return self.answer(400, {})
        self.server.count += 1
        said = f"{self.server.count}" if mode == "changes" else html.escape(str(request))
        return self.answer(200, {"said": said, "refused": mode != "lax" and is_attempt(str(request))})

    def log_message(self, *_):
        pass

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads, mode, count, request_queue_size = True, "good", 0, 64

    def get_request(self):
        request, _ = super().get_request()
        return request, ("candidate", 0)

    def handle_error(self, *_):
        pass


class Tcp(socketserver.ThreadingTCPServer):
    daemon_threads, mode, count, request_queue_size, allow_reuse_address = True, "good", 0, 64, True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    with Tcp(("127.0.0.1", given.port), Exchange) as served:
        settings = given.model / "config" / "toy.json"
        served.mode = json.loads(settings.read_bytes())["mode"]
        served.serve_forever()


if __name__ == "__main__":
    main()
