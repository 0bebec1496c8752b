"""`python -m terrain`."""

import sys

from terrain.cli import main

sys.exit(main())
