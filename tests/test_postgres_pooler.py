"""A registry behind a pooler in transaction mode, where no connection is kept between two transactions."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import pytest

from promptreg import PromptregError, Registry
from tests.postgres import free_port, unprivileged

PROGRAM = which("pgbouncer") or which("pgbouncer", path="/usr/sbin")
PATIENCE = 30.0  # seconds
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed"),
]


@pytest.fixture
def pooled(postgres_target: str) -> Iterator[str]:
    """The target by way of a pooler with two connections to the server."""
    parts = urlsplit(postgres_target)
    port, user = free_port(), unprivileged()
    with TemporaryDirectory() as made:
        folder = Path(made)
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\npostgres = host={parts.hostname} port={parts.port} user={parts.username}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = 2\nlogfile = {folder}/log\npidfile = {folder}/pid\n"
        )
        if user is not None:
            os.chown(folder, *user)
        uid, gid = user or (None, None)
        with (folder / "said").open("w") as said:
            pooler = subprocess.Popen([PROGRAM, settings], stdout=said, stderr=said, user=uid, group=gid)
        try:
            netloc = f"{parts.username}@127.0.0.1:{port}"
            wait_for_log(folder / "log", "process up")
            yield urlunsplit(parts._replace(netloc=netloc))
        finally:
            pooler.terminate()
            pooler.wait(PATIENCE)


def wait_for_log(log: Path, text: str) -> None:
    until = time.monotonic() + PATIENCE
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < until, "the pooler did not start"
        time.sleep(0.02)


def test_every_kind_of_call_works_behind_a_pooler(pooled: str) -> None:
    """Reads, writes, searches, events and `verify`, from more threads than the pooler has connections."""
    failures: list[PromptregError] = []
    with Registry(pooled, busy_timeout=PATIENCE) as registry:

        def work(number: int) -> None:
            try:
                for turn in range(5):
                    registry.save(f"p{number}", f"{turn} of {number}")
                    assert registry.get(f"p{number}").template == f"{turn} of {number}"
            except PromptregError as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(registry.search("of")) == 4
        assert len(registry.events(limit=100)) == 4 * 2 * 5
        assert registry.verify() == []


def test_a_change_is_seen_though_listen_is_lost(pooled: str, postgres_target: str) -> None:
    """The questions that are asked all the time find what another process has written, and `wait_for` waits for it."""
    with Registry(postgres_target) as writer, Registry(pooled) as reader:
        writer.create("greet", "0")
        for turn in range(1, 6):
            assert reader.get("greet").template == str(turn - 1)
            writer.update("greet", template=str(turn))
            reader.wait_for(writer.revision, timeout=PATIENCE)
            assert reader.get("greet").template == str(turn)
            until = time.monotonic() + PATIENCE
            writer.update("greet", template=f"{turn}!")
            while reader.get("greet").template != f"{turn}!":
                assert time.monotonic() < until
            writer.update("greet", template=str(turn))
            reader.wait_for(writer.revision, timeout=PATIENCE)
