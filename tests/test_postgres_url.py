"""The URL of a registry in PostgreSQL, and what needs no server: which targets it has, and that no password is told."""

import logging
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from promptreg import InvalidInputError, Registry, StorageError
from promptreg.storage.postgres.url import read_url
from tests.otel import tracing

READ = {
    "postgresql://host/db": ("postgresql://host/db", "promptreg"),
    "postgres://host/db": ("postgresql://host/db", "promptreg"),
    "POSTGRESQL://host/db": ("postgresql://host/db", "promptreg"),
    " postgresql://host/db\n": ("postgresql://host/db", "promptreg"),
    "postgresql://": ("postgresql://", "promptreg"),
    "postgresql://h/db?": ("postgresql://h/db", "promptreg"),
    "postgresql:///db?host=@socket": ("postgresql:///db?host=@socket", "promptreg"),
    "postgresql:///?promptreg_schema=_a1": ("postgresql:///", "_a1"),
    "postgresql://h/db?promptreg_schema=a": ("postgresql://h/db", "a"),
    "postgresql://h/db?a=1&promptreg_schema=a&b=%26+": ("postgresql://h/db?a=1&b=%26+", "a"),
    "postgresql://h/db?promptreg%5Fschema=%61": ("postgresql://h/db", "a"),
    "postgresql://h:1,[::1]:2,/db?service=x&target_session_attrs=read-write": (
        "postgresql://h:1,[::1]:2,/db?service=x&target_session_attrs=read-write",
        "promptreg",
    ),
    "postgresql://%2Fvar%2Frun/db?sslmode=verify-full&password=p@s:s/w": (
        "postgresql://%2Fvar%2Frun/db?sslmode=verify-full&password=p@s:s/w",
        "promptreg",
    ),
    f"postgresql://h?promptreg_schema={'x' * 63}": ("postgresql://h", "x" * 63),
}


@pytest.mark.parametrize("target", READ, ids=range(len(READ)))
def test_the_schema_is_taken_off_and_all_else_is_libpqs(target: str) -> None:
    """`promptreg_schema` names the schema, by default `promptreg`; everything else stays as it is given."""
    url = read_url(target)
    assert (url.conninfo, url.schema) == READ[target]


@pytest.mark.parametrize(
    "schema", ["", "A", "1a", "a-b", 'a"b', "a.b", "x" * 64, "é", "ａ", "a%00", "a&promptreg_schema=b", "a%0A"]
)
def test_a_schema_is_a_plain_name_given_once(schema: str) -> None:
    """Anything else is `InvalidInputError`, which names the rule."""
    with pytest.raises(InvalidInputError, match="promptreg_schema must match") as caught:
        Registry(f"postgresql://host/db?promptreg_schema={schema}")
    assert "[a-z_][a-z0-9_]{0,62}, and be given once" in caught.value.message
    assert [error["field"] for error in caught.value.details["errors"]] == ["target"]


UNCLEAR = [
    "postgresql://ana:s3c@ret@host/db",
    "postgresql://ana:s3c/ret@host/db",
    "postgresql://ana:s3c?ret@host/db",
    "postgresql://ana:s3c?ret=1@host/db",
    "postgresql://ana:s3c#ret@host/db",
    "postgresql://ana:s3c:ret@host/db",
    "postgresql://ana:s3cret@host:12x/db",
    "postgresql://ana:s3c%zzret@host/db",
    "postgresql://host/db?password=s3cret&s3cret",
    "postgresql://host/db?s3cret=1",
    "postgresql://[s3cret/db",
    "postgresql://ana:s3cret@host/db?sslmode=s3cret%",
    "postgresql://ana:s3cret@host/db?promptreg_schema=S3cret",
    "postgresql+psycopg://ana:s3cret@host/db",
    "postgres+asyncpg://ana:s3cret@host/db",
    "postgresql:ana:s3cret@host/db",
    "postgresql:/ana:s3cret@host/db",
    "postgresql:///?dbname=postgresql://ana:s3cret@host/db",
    "postgresql:///?dbname=password%3Ds3cret",
    "postgresql:///db?host=ana:s3cret@host",
    "postgresql:///db?hostaddr=s3cret%40127.0.0.1",
    "host=127.0.0.1 user=ana password=s3cret",
    "application_name=x password = 's3cret'",
]


def said(error: BaseException) -> str:
    """Return everything that an error says, with its causes and contexts."""
    chain: list[str] = []
    seen: list[BaseException] = []
    rest: list[BaseException | None] = [error]
    while rest:
        known = rest.pop()
        if known is not None and known not in seen:
            seen.append(known)
            chain += [repr(known), str(known), repr(vars(known))]
            rest += [known.__cause__, known.__context__]
    return "".join([*chain, *traceback.format_exception(error)])


@pytest.mark.parametrize("target", UNCLEAR, ids=range(len(UNCLEAR)))
def test_a_url_that_can_not_be_read_as_meant_is_refused_without_a_word_of_it(target: str) -> None:
    """A password that is not percent-encoded would be a part of the host's name, so no part of it is repeated."""
    with pytest.raises(InvalidInputError) as caught:
        Registry(target)
    text = said(caught.value) + repr(caught.value.to_dict())
    assert "s3c" not in text.lower()
    assert "ret" not in text.replace("promptreg", "").replace("return", "").replace("secret", "")
    assert len(caught.value.message) < 250


def test_a_driver_in_the_scheme_is_refused_with_what_to_write() -> None:
    """psycopg is the only one."""
    with pytest.raises(InvalidInputError, match=r"write postgresql://… without it"):
        Registry("postgresql+psycopg2://host/db")


def test_a_path_stays_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever pathlib made is a file, though its text looks like a URL."""
    monkeypatch.chdir(tmp_path)
    with Registry(Path("postgresql:x")) as registry:
        assert registry.path == str(tmp_path / "postgresql:x")
    assert (tmp_path / "postgresql:x").is_file()


PASSWORDS = {
    "authority": "postgresql://ana:s3cr%65t@127.0.0.1:1/db",
    "query": "postgresql://ana@127.0.0.1:1/db?password=s3cr%65t",
    "several hosts": "postgresql://ana:s3cr%65t@127.0.0.1:1,127.0.0.1:2/db",
    "host": "postgresql://ana:s3cret@s3cret.invalid/db",
    "user": "postgresql://s3cret:s3cret@127.0.0.1:1/db",
}


@pytest.mark.parametrize("place", [*PASSWORDS, "environment"])
def test_no_password_is_in_an_error_a_log_or_a_span(
    place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither as it stands in the URL or in PGPASSWORD, nor decoded; not in the cause or the traceback either."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    target = PASSWORDS.get(place, "postgresql://ana@127.0.0.1:1/s3cret")
    with tracing() as spans, pytest.raises(StorageError) as caught:
        Registry(target, busy_timeout=1)
    assert caught.value.details["reason"] == "unreachable"
    output = said(caught.value) + caplog.text + repr([span.to_json() for span in spans()])
    is_location = place in {"host", "environment"}  # a name that is the password as well, where the user put it
    assert ("s3cret" in output) is is_location
    assert "s3cr%65t" not in output
    assert "s3cret" not in str(caught.value.__cause__)
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


def test_the_repr_of_a_url_has_no_password() -> None:
    """It is the location, as messages have it."""
    url = read_url("postgresql://ana:s3cr%65t@h:1/db?sslmode=require&password=s3cr%65t&host=x&promptreg_schema=a")
    assert repr(url) == "PostgresURL('postgresql://h:1/db?host=x&promptreg_schema=a')"
    assert url.location == "postgresql://h:1/db?host=x&promptreg_schema=a"
    assert url.secrets == {"s3cret", "s3cr%65t"}


def test_an_absent_server_is_a_storage_error_that_names_it() -> None:
    """The reason is `unreachable`, and the address is in the message."""
    with pytest.raises(StorageError, match=r"postgresql://127\.0\.0\.1:1/db") as caught:
        Registry("postgresql://ana:pw@127.0.0.1:1/db", busy_timeout=1)
    assert caught.value.details == {"reason": "unreachable"}


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_without_psycopg_the_error_has_the_command_that_installs_it() -> None:
    """It is `StorageError` with the reason `driver`; one whose libpq can't be loaded says the same."""
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "import promptreg\n"
        "try: promptreg.Registry('postgresql://ana:s3cret@h/db')\n"
        "except promptreg.StorageError as error: print(error.details, error)"
    )
    output = run(program)
    assert "{'reason': 'driver'}" in output
    assert "pip install 'promptreg-embedded[postgres]'" in output
    assert "s3cret" not in output


def test_only_a_postgres_registry_loads_psycopg() -> None:
    """Neither importing promptreg nor a registry in a file loads it, or anything of the storage."""
    program = (
        "import sys, promptreg\n"
        "promptreg.Registry(':memory:').close()\n"
        "print([name for name in sys.modules if name.startswith(('psycopg', 'promptreg.storage.postgres'))])"
    )
    assert run(program) == "[]\n"
