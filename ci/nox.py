"""Runs nox from the private tool environment: `python3 ci/nox.py -s wheel`, from any folder.

Never imports nox: this very file would be found in its place.
"""

import importlib.util
import sys
from pathlib import Path

# By its place: -I or PYTHONSAFEPATH may keep this folder off sys.path. Python 3.6 must get this
# far: environment.py says which Python is needed.
place = Path(__file__).resolve().with_name("environment.py")
spec = importlib.util.spec_from_file_location("environment", str(place))
assert spec and spec.loader
environment = importlib.util.module_from_spec(spec)
spec.loader.exec_module(environment)

if __name__ == "__main__":
    options = ["-f", str(environment.REPOSITORY / "noxfile.py")]
    start = str(place.with_name("start_nox.py"))
    sys.exit(environment.launch(start, *options, *sys.argv[1:]))
