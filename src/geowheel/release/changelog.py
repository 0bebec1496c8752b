"""What a changelog says of one version, in the form of Keep a Changelog.

https://keepachangelog.com/en/1.1.0/: a heading of the second level for each version. Tools such as
towncrier write it; here it is only read.
"""

import re
from pathlib import Path
from typing import Final

from geowheel.errors import ConfigError
from geowheel.wheel.reading import same_version

_CODE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.M | re.S)
_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_HEADING: Final = re.compile(r"^ {0,3}##[ \t]+\[?v?([^\s\]]+)\]?.*$", re.M)
_NO_NEWS: Final = re.compile(r"^ {0,3}(?:#.*|\[[^\]]+\]:\s.*)$", re.M)


def has_section(path: Path, version: str) -> bool:
    """Return whether the changelog has a section for the version that says more than headings.

    A version may be spelled in any form of PEP 440. Headings in code blocks and comments do not
    count. Raises ConfigError where there is no such file, or where it is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            "there is no changelog",
            where=str(path),
            fix="write one as https://keepachangelog.com/en/1.1.0/ has it (towncrier can), or name "
            "another file in [tool.geowheel.release] changelog",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8: {error}", where=str(path)) from None
    # A code block is news, and no heading in it is one.
    text = _CODE.sub(lambda code: "code\n" if code[0].strip() else "", text)
    _, *rest = _HEADING.split(_COMMENT.sub("", text))
    sections = zip(rest[::2], rest[1::2], strict=True)
    return any(
        same_version(name, version) and _NO_NEWS.sub("", body).strip() for name, body in sections
    )
