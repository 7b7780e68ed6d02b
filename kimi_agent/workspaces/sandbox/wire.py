"""Messages between this program and a zygote: JSON with its length before it, and descriptors beside it."""

import array
import json
import socket
import struct
from typing import Any

_HEADER = struct.Struct("=I")


def send(sock: socket.socket, message: "dict[str, Any] | bytes", descriptors: "list[int] | None" = None) -> None:
    """One message (as JSON already, if bytes) with descriptors. Raises OSError when the other side has gone."""
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    sent = sock.sendmsg([_HEADER.pack(len(data)), data], rights)
    if rest := (_HEADER.pack(len(data)) + data)[sent:]:
        sock.sendall(rest)


def receive(sock: socket.socket) -> "tuple[dict[str, Any] | None, list[int]]":
    """The next message and its descriptors; None at the end."""
    data, descriptors = b"", array.array("i")
    wanted = _HEADER.size
    while len(data) < wanted:
        piece, extra, _, _ = sock.recvmsg(1 << 20, socket.CMSG_SPACE(64), socket.MSG_CMSG_CLOEXEC)
        if not piece:
            return None, list(descriptors)
        for level, kind, content in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(content)
        data += piece
        if wanted == _HEADER.size and len(data) >= wanted:
            wanted += _HEADER.unpack_from(data)[0]
    message: dict[str, Any] = json.loads(data[_HEADER.size : wanted])
    return message, list(descriptors)
