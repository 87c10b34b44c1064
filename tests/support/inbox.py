"""Listeners on loopback that keep what is sent to them: an HTTP server for webhooks, and one for mail."""

import json
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler

from tests.support.services import free_port
from tests.support.waiting import wait_until


class Inbox:
    """Messages in the order in which they came, and the address that they came to."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.messages: list[Any] = []

    def wait_for(self, expected: Callable[[Any], bool], seconds: float = 120) -> Any:
        """Return the first message that is `expected`; fail if none comes in time."""
        wait_until(lambda: any(map(expected, self.messages)), seconds)
        return next(filter(expected, self.messages))


@pytest.fixture
def webhook() -> Iterator[Inbox]:
    """JSON that is posted."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    inbox = Inbox(f"http://127.0.0.1:{server.server_port}/hook")
    Thread(target=server.serve_forever, daemon=True).start()
    yield inbox
    server.shutdown()
    server.server_close()


@pytest.fixture
def mailbox() -> Iterator[Inbox]:
    """Mail of an SMTP server, without encryption and login."""
    inbox = Inbox(f"127.0.0.1:{free_port()}")

    class Keep(MessageHandler):
        def handle_message(self, message: Message) -> None:
            inbox.messages.append(message)

    host, port = inbox.address.split(":")
    controller = Controller(Keep(), hostname=host, port=int(port))
    controller.start()
    yield inbox
    controller.stop()
