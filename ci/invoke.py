"""Runs invoke from the private tool environment: `python3 ci/invoke.py status`, from any folder.

Never imports invoke: this very file would be found in its place.
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
    options = ["--search-root", str(environment.REPOSITORY)]
    sys.exit(environment.launch("-m", "invoke", *options, *sys.argv[1:]))
