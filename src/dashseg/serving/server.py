"""The application on a socket, until SIGTERM or Ctrl-C: `bind` and `serve`."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from dashseg.errors import InputError
from dashseg.serving.settings import Settings


def check_address(settings: Settings, insecure: bool) -> None:
    """Only this machine may use a service that asks for no token.

    Raises:
        InputError: another address, no token, and not `insecure`.
    """
    if not is_loopback(settings.host) and settings.token is None and not insecure:
        raise InputError(
            f"--host {settings.host} lets other machines in: name a --token-file, or say --insecure"
            " if something else guards the port"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: any free one.

    Raises:
        InputError: the port is taken, or the address is not this machine's.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address, family=family, backlog=2048)
        # Connections inherit it. Else an answer's body waits 40 ms for the client to acknowledge
        # its headers. asyncio sets it only for sockets that name their protocol.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, UnicodeError) as error:
        reason = {
            errno.EADDRINUSE: f"port {port} is taken: choose another --port, or 0 for any free one",
            errno.EACCES: f"port {port} is the system's: choose a --port from 1024 up",
        }.get(getattr(error, "errno", None) or 0)
        raise InputError(reason or f"--host {host}: not an address of this machine") from error


def address_of(listening: socket.socket) -> str:
    """The URL to open."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def make_server(app: FastAPI, settings: Settings) -> Server:
    """What runs the application; `run(sockets=[bind(…)])` returns after a signal."""
    config = uvicorn.Config(
        app,
        http=protocol(settings),
        loop="asyncio",
        log_level="error",
        access_log=False,  # it would show tokens; /metrics counts
        proxy_headers=False,
        server_header=False,
        limit_concurrency=settings.connections,
        timeout_graceful_shutdown=round(settings.drain_seconds),
        ws_max_size=settings.max_body,
        ws_max_queue=4,
    )
    return Server(config)


class Server(uvicorn.Server):
    """A signal makes it finish the requests that have begun, and return."""

    signal: int | None = None  # the one that stopped it

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but without raising the signal again at the end."""
        try:
            before = {
                number: signal.signal(number, self._stop)
                for number in (signal.SIGINT, signal.SIGTERM)
            }
        except ValueError:  # signals are the main thread's
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        self.signal = self.signal or number
        self.handle_exit(number, frame)


def protocol(settings: Settings) -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol, which cuts off clients that send no headers or read no answer."""

    class Impatient(H11Protocol):
        headers_due: asyncio.TimerHandle | None = None
        reading_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_headers()

        def handle_events(self) -> None:
            super().handle_events()
            self._await_headers()

        def send_400_response(self, msg: str) -> None:
            active = self.cycle is not None and not self.cycle.response_complete
            if active and self.cycle.response_started:
                self.transport.close()
            else:
                super().send_400_response(msg)
            if active:  # the request at work can send no answer after this
                self.cycle.disconnected = True
                self.cycle.message_event.set()

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self.headers_due, self.reading_due):
                if timer is not None:
                    timer.cancel()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self.reading_due = self.loop.call_later(settings.write_seconds, self._cut)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.reading_due is not None:
                self.reading_due.cancel()

        def _await_headers(self) -> None:
            waiting = self.conn.their_state is h11.IDLE
            if waiting and self.headers_due is None:
                self.headers_due = self.loop.call_later(settings.header_seconds, self._cut)
            elif not waiting and self.headers_due is not None:
                self.headers_due.cancel()
                self.headers_due = None

        def _cut(self) -> None:
            self.transport.abort()

    return Impatient
