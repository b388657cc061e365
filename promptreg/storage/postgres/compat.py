"""The names of psycopg that it does not document; `tests/test_postgres_sessions.py` fails where one of them is lost."""

from collections.abc import Mapping
from typing import Any

from psycopg import adapt, postgres
from psycopg.abc import Transformer
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_attempts
from psycopg.errors import Error, error_from_result
from psycopg.pq.abc import PGresult
from psycopg.types.array import register_all_arrays


def _default_adapters() -> AdaptersMap:
    """Return psycopg's own adapters, without those that an application has registered for all connections."""
    adapters = AdaptersMap(types=postgres.types)
    postgres.register_default_adapters(adapters)
    register_all_arrays(adapters)
    return adapters


_ADAPTERS = _default_adapters()


def transformer() -> Transformer:
    """Return what turns values into parameters and results into rows."""
    return adapt.Transformer(_ADAPTERS)


def error_of(result: PGresult) -> Error:
    """Return psycopg's error for a failed result, with the first line of its message.

    The other lines may quote rows and values.
    """
    error = error_from_result(result)
    error.args = (error.diag.message_primary or str(error).partition("\n")[0],)
    return error


def attempts_of(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of each attempt to connect: one for each address of each host.

    Raises `psycopg.OperationalError` where no host has an address.
    """
    return [dict(attempt) for attempt in conninfo_attempts(parameters)]
