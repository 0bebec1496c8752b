import socket
import subprocess

import pytest


def test_a_unit_test_starts_nothing_and_connects_to_nothing() -> None:
    with pytest.raises(AssertionError, match="start no process"):
        subprocess.run(["true"], check=False)
    with pytest.raises(AssertionError, match="open no connection"):
        socket.create_connection(("127.0.0.1", 9))
