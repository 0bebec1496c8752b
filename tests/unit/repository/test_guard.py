from __future__ import annotations

import socket
import subprocess

import pytest


def test_a_unit_test_cannot_start_a_process() -> None:
    with pytest.raises(AssertionError, match="start no process"):
        subprocess.run(["true"], check=False)


def test_a_unit_test_cannot_open_a_connection() -> None:
    with pytest.raises(AssertionError, match="open no connection"):
        socket.create_connection(("127.0.0.1", 9))
