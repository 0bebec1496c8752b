"""What is in the slim root beside Python and the C runtimes."""

import importlib
import sys
from pathlib import Path

import pytest
from tests.support.files import write_files

from geowheel.probes import slim


def test_what_the_host_imports_of_others_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, {
        "slim_host/__init__.py": "import slim_other.inner", "slim_other/__init__.py": "",
        "slim_other/inner.py": "", "slim_idle/__init__.py": "",
    })  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("slim_host")
    try:
        assert slim.imported_beside({"package": "slim_host"}) == ["slim_other"]
    finally:
        for name in [name for name in sys.modules if name.startswith("slim_")]:
            del sys.modules[name]
