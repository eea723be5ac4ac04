"""The tests and everything they start run with the network cut, loopback aside."""

import socket
import subprocess
import sys

import pytest

ELSEWHERE = "192.0.2.1"  # reserved for documentation, never routed
ATTEMPT = f"import socket; socket.create_connection(('{ELSEWHERE}', 80), timeout=5)"


def test_no_connection_leaves_this_machine():
    with pytest.raises(OSError, match=f"no connection to {ELSEWHERE}"):
        socket.create_connection((ELSEWHERE, 80), timeout=5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(OSError, match=f"no connection to {ELSEWHERE}"):
            datagrams.sendto(b"x", (ELSEWHERE, 80))
        with pytest.raises(OSError, match=f"no connection to {ELSEWHERE}"):
            datagrams.sendmsg([b"x"], [], 0, (ELSEWHERE, 80))
    with pytest.raises(socket.gaierror, match="no look-up of example"):
        socket.getaddrinfo("example.org", 80)
    for look_up in (socket.gethostbyname, socket.gethostbyname_ex, socket.gethostbyaddr):
        with pytest.raises(socket.gaierror, match="no look-up of example"):
            look_up("example.org")
    with pytest.raises(socket.gaierror, match=f"no look-up of {ELSEWHERE}"):
        socket.gethostbyaddr(ELSEWHERE)
    with pytest.raises(socket.gaierror, match=f"no look-up of {ELSEWHERE}"):
        socket.getnameinfo((ELSEWHERE, 80), 0)


def test_nor_from_a_process_started_here():
    run = subprocess.run([sys.executable, "-c", ATTEMPT], capture_output=True, text=True, check=False)
    assert "the network is cut in tests" in run.stderr


def test_loopback_stays():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()
        assert socket.getnameinfo(server.getsockname(), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0] == "127.0.0.1"
    assert socket.gethostbyname("localhost") == "127.0.0.1"
