"""Cut the network for this Python and, with this folder on PYTHONPATH, for every one it starts; loopback stays."""

import errno
import ipaddress
import socket
import sys

HERE = {"", "localhost", socket.gethostname()}


def _address(host: object) -> "ipaddress.IPv4Address | ipaddress.IPv6Address | None":
    name = host.decode() if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None


def _is_here(address: "ipaddress.IPv4Address | ipaddress.IPv6Address | None") -> bool:
    return address is not None and (address.is_loopback or address.is_unspecified)


def _refuse(event: str, arguments: tuple) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        target = arguments[1]  # a path for a Unix socket, else (host, port, ...)
        if not isinstance(target, tuple) or target[0] in HERE:
            return
        if not _is_here(_address(target[0])):
            raise OSError(errno.ENETUNREACH, f"the network is cut in tests: no connection to {target[0]}")
    elif event in ("socket.gethostbyaddr", "socket.getnameinfo"):
        host = arguments[0] if event == "socket.gethostbyaddr" else arguments[0][0]
        if host not in HERE and not _is_here(_address(host)):
            raise socket.gaierror(socket.EAI_AGAIN, f"the network is cut in tests: no look-up of {host}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
        if host is not None and host not in HERE and _address(host) is None:
            raise socket.gaierror(socket.EAI_AGAIN, f"the network is cut in tests: no look-up of {host}")


sys.addaudithook(_refuse)
