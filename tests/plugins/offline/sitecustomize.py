"""Cut the network for this Python and, with this folder on PYTHONPATH, for every one it starts; loopback stays."""

import errno
import ipaddress
import socket
import sys


def _is_local(host: object) -> bool:
    """Whether an address or name is this machine's own; no lookup is made."""
    if not isinstance(host, str | bytes) or host in ("", "localhost", socket.gethostname()):
        return True
    name = host.decode() if isinstance(host, bytes) else host
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(event: str, arguments: tuple) -> None:
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]  # a path for a Unix socket, else (host, port, ...)
        if isinstance(address, tuple) and not _is_local(address[0]):
            raise OSError(errno.ENETUNREACH, f"the network is cut in tests: no connection to {address[0]}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and not _is_local(arguments[0]):
        raise socket.gaierror(socket.EAI_AGAIN, f"the network is cut in tests: no look-up of {arguments[0]}")


sys.addaudithook(_refuse)
