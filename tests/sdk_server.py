"""A server on the loopback interface that stands for the providers, and records what the real clients of SDKs send.

`with serving() as server:` starts one. A client is made with `base_url=server.openai`, `server.anthropic` or
`server.gemini`; each call is answered as the provider answers, with the text `ANSWER`, and `server.sent()` returns the
body that arrived.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

ANSWER = "An answer"

CHAT_COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ANSWER}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
OUTPUT = {"type": "output_text", "text": ANSWER, "annotations": []}
RESPONSE = {
    "id": "resp-1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "completed",
    "output": [{"id": "msg-1", "type": "message", "role": "assistant", "status": "completed", "content": [OUTPUT]}],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
MESSAGE = {
    "id": "msg-1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": ANSWER}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
GENERATED = {
    "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [{"text": ANSWER}]}}],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
}
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "/chat/completions": CHAT_COMPLETION,
    "/responses": RESPONSE,
    "/messages": MESSAGE,
    ":generateContent": GENERATED,
}
"""What is answered, by the end of the path of a request."""


class Request(NamedTuple):
    """A request as it arrived: its path with the query, and its body."""

    path: str
    body: Any


class Server(ThreadingHTTPServer):
    """The server, with the requests since `sent` was last called."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        """The address without a path."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def openai(self) -> str:
        """The `base_url` of `openai.OpenAI`."""
        return f"{self.url}/v1"

    @property
    def anthropic(self) -> str:
        """The `base_url` of `anthropic.Anthropic`."""
        return self.url

    @property
    def gemini(self) -> str:
        """The `base_url` of `google.genai.types.HttpOptions`."""
        return self.url

    def sent(self) -> Any:
        """Return the body of the one request that has arrived, and forget it."""
        (request,), self.requests = self.requests, []
        return request.body


class Handler(BaseHTTPRequestHandler):
    """Records a request and answers it; one that no provider knows is answered with 404."""

    server: Server

    def do_POST(self) -> None:
        """Record the body, and answer by the path."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(Request(self.path, json.loads(body)))
        path = self.path.partition("?")[0]
        answer = next((answer for end, answer in ANSWERS.items() if path.endswith(end)), None)
        text = json.dumps(answer or {"error": {"message": "no such path"}}).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    """Serve until the block ends."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
