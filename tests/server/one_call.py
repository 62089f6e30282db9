"""How is a request answered in one call into the loop? Starlette's own client makes eight: most of its time."""

from urllib.parse import unquote

import anyio
import httpx2


class OneCall(httpx2.BaseTransport):
    """Ask an application in the loop of a portal. What is sent after the end, or before the beginning, fails."""

    def __init__(self, app, portal, stock, *, raises):
        self.app, self.portal, self.stock, self.raises = app, portal, stock, raises

    def handle_request(self, request):
        if request.url.scheme == "ws":
            return self.stock.handle_request(request)
        return self.portal.call(self._answer, request)

    async def _answer(self, request):
        asked, told, ended = [{"type": "http.request", "body": request.read()}], [], anyio.Event()

        async def receive():
            if not asked:
                await ended.wait()
                return {"type": "http.disconnect"}
            return asked.pop()

        async def send(message):
            assert not ended.is_set(), "something follows the end"
            assert message["type"] == ("http.response.body" if told else "http.response.start")
            told.append(message)
            if told[1:] and not message.get("more_body"):
                ended.set()

        try:
            await self.app(_scope(request), receive, send)
        except Exception:
            if self.raises:
                raise
        assert ended.is_set(), "no end of the answer"
        start, *parts = told
        content = b"" if request.method == "HEAD" else b"".join(part.get("body", b"") for part in parts)
        return httpx2.Response(start["status"], headers=start["headers"], content=content, request=request)


def _scope(request):
    url = request.url
    return {
        "type": "http",
        "http_version": "1.1",
        "method": request.method,
        "path": unquote(url.path),
        "raw_path": url.raw_path.split(b"?", 1)[0],
        "root_path": "",
        "scheme": url.scheme,
        "query_string": url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("testclient", 50000),
        "server": (url.host, url.port or 80),
        "state": {},
    }
