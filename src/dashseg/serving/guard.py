"""What every request passes before the service looks at it: `Guard`.

It checks who asks (the Host and Origin headers, the token), bounds a body as it arrives, and adds
headers that tell browsers what the pages may do. Pure ASGI: nothing is kept of a body.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashseg.serving.problems import problem
from dashseg.serving.settings import Settings
from dashseg.serving.work import Memory, Share

COOKIE = "dashseg"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE = ("0.0.0.0", "::", "")  # a server bound to these has every address of the machine
_PUBLIC = ("/v2/health/live", "/v2/health/ready")  # a cluster's probes have no token
_PAGES = ("/", "/desk/")
_SAFE = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[0-9a-zA-Z._-]+)(?::([0-9]{1,5}))?")
_PATIENCE = 5.0  # seconds for the rest of a refused body: a reset connection loses the answer
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware around the application.

    Args:
        limits: path -> bytes that a body sent there may have, if they go to a file. All others
            are held in memory, of `max_body` bytes at most.
    """

    def __init__(self, app: ASGIApp, settings: Settings, limits: Mapping[str, int]) -> None:
        self.app = app
        self.settings = settings
        self.limits = limits
        self.memory = Memory(settings.max_memory)
        self.secret = None if settings.token is None else cookie_for(settings.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        share = scope["dashseg.share"] = Share(self.memory)
        if scope["type"] == "websocket":
            try:
                if refusal is None:
                    await self.app(scope, receive, send)
                else:
                    await send({"type": "websocket.close", "code": 1008})
            finally:
                share.release()
            return
        body = _Body(scope, receive, self.settings, self.limits.get(scope["path"]), share)
        answer = _Answer(scope, send, body)
        if refusal is None and body.announced > body.limit:
            refusal = problem(scope["path"], 413, body.too_large)
        try:
            await (refusal or self.app)(scope, body.receive, answer.send)
        finally:
            share.release()

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that may not pass."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if len(headers.getlist("host")) > 1 or not self._knows(host):
            return problem(
                scope["path"], 400, "this server does not go by the name in the Host header"
            )
        unsafe = scope["type"] == "websocket" or scope["method"] not in _SAFE
        origins = headers.getlist("origin")
        if unsafe and any(not same_origin(origin, host) for origin in origins):
            return problem(scope["path"], 403, "the Origin header names another site")
        if self.secret is None or scope["path"] in _PUBLIC:
            return None
        return self._without_token(scope, headers)

    def _knows(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]").lower()
        if name in (*_LOOPBACK, self.settings.host.lower(), *self.settings.allow_hosts):
            return True
        # An address is safe from DNS rebinding, which needs a name.
        return self.settings.host in _EVERYWHERE and _is_address(name)

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        assert self.settings.token is not None and self.secret is not None
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _equal(shown.strip(), self.settings.token):
            return None
        if _equal(_cookie(headers), self.secret):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        shown = dict(query).get("token", "")
        page = scope["type"] == "http" and scope["path"] in _PAGES
        if page and _equal(shown, self.settings.token):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            answer = RedirectResponse(scope["path"] + ("?" + rest if rest else ""), 303)
            answer.set_cookie(COOKIE, self.secret, httponly=True, samesite="strict", path="/")
            return answer
        detail = "a token is needed: Authorization: Bearer TOKEN, or in a browser /?token=TOKEN"
        return problem(scope["path"], 401, detail, {"WWW-Authenticate": "Bearer"})


class _Body:
    """Receives a body, counts it as it arrives, and cuts off clients that are slow."""

    def __init__(
        self, scope: Scope, receive: Receive, settings: Settings, limit: int | None, share: Share
    ) -> None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        self.announced = int(length) if re.fullmatch("[0-9]{1,18}", length) else 0
        self.whole = self.announced == 0 and "transfer-encoding" not in headers
        self.slow = False
        self.limit = settings.max_body if limit is None else limit
        self.too_large = f"the body is too large: {self.limit} bytes are allowed"
        self._receive, self._settings = receive, settings
        self._share = share if limit is None else None
        self._came, self._start = 0, asyncio.get_running_loop().time()

    async def receive(self) -> Message:
        if self.whole:
            return await self._receive()
        seconds = self._settings.body_seconds + self._came / self._settings.body_rate
        try:
            async with asyncio.timeout_at(self._start + seconds):
                message = await self._next()
        except TimeoutError:
            self.slow = True
            raise HTTPException(408, "the body arrives too slowly") from None
        if self._came > self.limit:
            raise HTTPException(413, self.too_large)
        if self._share is not None:
            self._share.take(len(message.get("body", b"")))
        return message

    async def drain(self) -> None:
        """Drop the rest of a body whose request has been answered."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while not self.whole and not self.slow and self._came < 4 * self.limit:
                    await self._next()
        except TimeoutError:
            pass

    async def _next(self) -> Message:
        message = await self._receive()
        self._came += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)  # or the client has gone
        return message


class _Answer:
    """Sends an answer with the security headers; ends the connection if the body was not read."""

    def __init__(self, scope: Scope, send: Send, body: _Body) -> None:
        self._host = Headers(scope=scope).get("host", "")
        self._send, self._body = send, body

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
            headers.setdefault("Content-Security-Policy", policy(self._host))
            if not self._body.whole:
                headers["Connection"] = "close"
        elif not self._body.whole and not message.get("more_body", False):
            await self._send({**message, "more_body": True})  # the client can read all of it now
            await self._body.drain()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)


def policy(host: str) -> str:
    """The Content-Security-Policy: the pages run their own files only, and talk to this server."""
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:;"
        f" connect-src 'self' blob:{sockets}; object-src 'none'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'none'"
    )


def same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header names the site that the Host header does."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    port = {"http": ":80", "https": ":443"}.get(parts.scheme)
    if port is None:
        return False
    return parts.netloc.lower().removesuffix(port) == host.lower().removesuffix(port)


def cookie_for(token: str) -> str:
    """What a browser keeps instead of the token, which other servers on this host might see."""
    return hmac.digest(token.encode(), b"cookie of dashseg serve", "sha256").hex()


def _cookie(headers: Headers) -> str:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _equal(shown: str, expected: str) -> bool:
    """In a time that does not tell how much of it is right."""
    return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), expected.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
