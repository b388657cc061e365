"""What the package `mcp` has no public name for; `tests/test_mcp_changes.py` notices its loss."""

from mcp.server.connection import Connection
from mcp.server.session import ServerSession


def connection_of(session: ServerSession) -> Connection:
    """Return the connection of a session, which is of one request alone; its `exit_stack` is closed when it ends."""
    return session._connection
