"""A server on the loopback that serves prompts like Langfuse's public API: `GET /api/public/v2/prompts/{name}`.

It prints its address, and ends when its standard input does.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

from equivalents import joined
from prompts import CHAT
from ways import PROMPT_VALUES, TEXTS

PREFIX = "/api/public/v2/prompts/"


def prompts() -> dict[str, Any]:
    """Return the prompts in Langfuse's language, which has names alone."""
    texts = {name: joined(source, PROMPT_VALUES[name])[0] for name, source in TEXTS.items()}
    return {**texts, "chat": [{"type": "chatmessage", **message} for message in CHAT]}


PROMPTS = prompts()


def answer(name: str) -> dict[str, Any]:
    """Return the JSON of a prompt, as Langfuse documents it."""
    prompt = PROMPTS[name]
    return {
        "type": "text" if isinstance(prompt, str) else "chat",
        "name": name,
        "version": 1,
        "prompt": prompt,
        "config": {},
        "labels": ["production", "latest"],
        "tags": [],
        "commitMessage": None,
        "resolutionGraph": None,
    }


class Handler(BaseHTTPRequestHandler):
    """Answers requests for these prompts, and any other request with 404."""

    protocol_version = "HTTP/1.1"  # connections are kept alive, as by Langfuse's server
    wbufsize = -1  # header and body are sent as one packet

    def do_GET(self) -> None:
        """Send one prompt, whatever the label."""
        path = unquote(urlsplit(self.path).path)
        name = path.removeprefix(PREFIX)
        is_known = path.startswith(PREFIX) and name in PROMPTS
        body = json.dumps(answer(name) if is_known else {"error": "LangfuseNotFoundError"}).encode()
        self.send_response(200 if is_known else 404)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
