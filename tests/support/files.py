"""Files, archives, programs and repositories that tests put on disk."""

import importlib.util
import io
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Files below a folder, which is returned."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def write_zip(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """A zip, or a wheel, of these files in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: Mapping[str, str]) -> Path:
    """A tar.gz of these files."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def write_program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    """A program of that text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def git(folder: Path, *arguments: str) -> None:
    """Run git as somebody who has a name, with submodules of folders allowed."""
    known = ("user.name=A", "user.email=a@example.invalid", "protocol.file.allow=always")
    options = [word for setting in known for word in ("-c", setting)]
    subprocess.run(["git", *options, *arguments], cwd=folder, check=True, capture_output=True)


def load_script(path: Path) -> ModuleType:
    """A script as a module, under no name in sys.modules."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
