"""A copy of this repository to build in, and a way to run geowheel there as a user does."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geowheel.project.files import host_files, stage

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TARGET = f"cp{PYTHON.replace('.', '')}-linux-64"


@dataclass(frozen=True, kw_only=True)
class ProjectCopy:
    """A checkout in a folder of its own; the cache may be shared with others."""

    root: Path
    cache: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    host: str = "hosts/gdal"

    @property
    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GEOWHEEL_", "WHEEL_"))}
        fixed = {
            "PYTHONPATH": str(self.root / "src"),
            "GEOWHEEL_CACHE": str(self.cache),
            "COLUMNS": "200",
        }
        return kept | fixed | dict(self.extra)

    def command(self, *arguments: str) -> list[str]:
        where = ["--root", str(self.root), "--host", self.host]
        return [sys.executable, "-m", "geowheel", arguments[0], *where, *arguments[1:]]

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever its exit code."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environ | environ,
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )

    def good(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command that must succeed."""
        result = self.run(*arguments, **environ)
        assert result.returncode == 0, result.stderr
        return result

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environ,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def json(self, *arguments: str, **environ: str) -> dict[str, Any]:
        """Run a command that must succeed; its --json."""
        data: dict[str, Any] = json.loads(self.good(*arguments, "--json", **environ).stdout)
        return data

    def entries(self, stage: str) -> list[Path]:
        """The ledger's folders of a stage: committed ones, and scratch (hidden) ones."""
        return [p for p in self.root.glob(f".geowheel/*/{stage}/*") if p.is_dir()]

    def scratch(self, stage: str) -> list[Path]:
        return [path for path in self.entries(stage) if path.name.startswith(".")]

    def forget(self, stage: str) -> None:
        """Remove a stage's committed entries, so that it has to run again."""
        for path in self.entries(stage):
            shutil.rmtree(path)


def not_passed(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The probes of a target that failed, or that had nothing to try though they should have."""
    return [
        probe
        for probe in summary["probes"]
        if not probe["passed"] and probe["detail"] != "not run: no such driver"
    ]


def copy_repository(root: Path) -> None:
    """This checkout's files (not its ignored ones), as a git repository where there is git."""
    stage(host_files(REPOSITORY, os.environ), root)
    if shutil.which("git"):
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        subprocess.run(["git", "add", "-A"], cwd=root, check=True)


@dataclass(frozen=True, kw_only=True)
class Built:
    """A project whose wheel was made from nothing."""

    project: ProjectCopy
    summary: dict[str, Any]

    @property
    def wheel(self) -> Path:
        return self.project.root / "dist" / Path(self.summary["wheel"]).name
