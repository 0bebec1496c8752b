"""What is wrong with a server's certificate: py-rattler says only that a request was not sent."""

from __future__ import annotations

import socket
import ssl
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies

PATIENCE: Final = 5.0  # seconds
REFUSED: Final = "a certificate that is refused here"
CAUSE: Final = "the certificate has expired, is another host's, or its authority is unknown here"
TRUST: Final = "set SSL_CERT_FILE to a file with the authorities to trust, that server's among them"


def certificate_fault(url: str) -> str | None:
    """Return why this machine refuses the certificate of a URL's server; None where it does not.

    It asks the server once more, for no more than a handshake; never through a proxy.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or "https" in getproxies():
        return None
    try:
        with (
            socket.create_connection((parts.hostname, parts.port or 443), PATIENCE) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return f"has {REFUSED}: {error.verify_message}"
    except OSError:  # it does not answer, or speaks no TLS
        return None
