"""A server on the loopback that gives prompts as Langfuse's public API does: `GET /api/public/v2/prompts/{name}`.

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
from ways import GIVEN, TEXTS

PREFIX = "/api/public/v2/prompts/"


def prompts() -> dict[str, Any]:
    """Give the prompts in Langfuse's language, which has names alone."""
    texts = {name: joined(source, GIVEN[name])[0] for name, source in TEXTS.items()}
    return {**texts, "chat": [{"type": "chatmessage", **message} for message in CHAT]}


PROMPTS = prompts()


def answer(name: str) -> dict[str, Any]:
    """Give a prompt's JSON as it is documented."""
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
    """Gives the prompts that it has, and nothing else."""

    protocol_version = "HTTP/1.1"  # connections are kept, as Langfuse's server keeps them
    wbufsize = -1  # head and body go as one packet

    def do_GET(self) -> None:
        """Give one prompt, whatever its label."""
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
        """Write nothing."""


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
