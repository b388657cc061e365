"""Real git repositories for tests, apart from the configuration of whoever runs them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

ALONE = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


class Repository:
    """A repository with a working tree, and git's commands in it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", *options)
        self.git("config", "user.email", "ana@example.com")
        self.git("config", "user.name", "Ana Diaz")

    def git(self, *arguments: str, **more: str) -> str:
        """Run a command of git, and return its output."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env={**ours, **ALONE, **more}, check=True, capture_output=True
        )
        return done.stdout.decode(errors="replace").strip()

    def write(self, path: str, text: str | bytes) -> Path:
        """Write a file of the working tree."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def commit(self, subject: str, **files: str) -> str:
        """Commit the whole working tree, with more files by name (`__` is a slash), and return the commit's hash."""
        for name, text in files.items():
            self.write(f"{name.replace('__', '/')}.md", text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--allow-empty-message", "-m", subject)
        return self.git("rev-parse", "HEAD")
