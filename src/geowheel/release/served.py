"""Whether an index serves the very files in dist/: a step of the generated workflow.

It runs beside a token, so it is written into the workflow itself and imports nothing that is
installed. It reads the HTML of the simple API (https://peps.python.org/pep-0503/), and asks for
five minutes: an index may show late what it took.
"""

import hashlib
import html
import os
import re
import sys
import time
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import Request, urlopen


def get(url: str, limit: int) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url} is no address of a server")
    headers = {"Accept": "text/html, */*;q=0.1", "Cache-Control": "no-cache"}
    with urlopen(Request(url, headers=headers), timeout=60) as answer:
        return bytes(answer.read(limit))


files = [*Path("dist").glob("*.whl"), *Path("dist").glob("*.tar.gz")]
limit = (1 << 24) + max(path.stat().st_size for path in files)
missing = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
page = os.environ["PAGE"]
for seconds in (0, 5, 10, 20, 40, 75, 150):
    time.sleep(seconds)
    try:
        for link in re.findall(r'href="([^"]*)"', get(page, limit).decode("utf-8", "replace")):
            url = urljoin(page, html.unescape(link))
            name = unquote(urlsplit(url).path.rpartition("/")[2])
            if name in missing and hashlib.sha256(get(url, limit)).hexdigest() == missing[name]:
                del missing[name]
    except (OSError, ValueError, HTTPException) as error:
        sys.stderr.write(f"{page}: {error}\n")
    if not missing:
        sys.exit(0)
sys.exit(f"{page} does not serve the bytes of {', '.join(missing)}")
