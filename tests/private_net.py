"""A net of its own for one program: public and private addresses, a name server that changes its mind, a web server on all.

    unshare -rnm python private_net.py PROGRAM ARGUMENTS...

runs the program and prints, after what it prints, one line of JSON: every `[address, path]` that the web server was asked for.
Nothing leaves the machine, and the program sees a net that looks like the real one.
"""

import fcntl
import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PUBLIC, METADATA = "8.8.8.8", "169.254.169.254"
ADDRESSES = [
    PUBLIC,
    METADATA,
    "10.0.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "168.63.129.16",
    "192.0.0.192",
    "100.100.100.200",
]
NAMES = {"public.test": [[PUBLIC]], "moving.test": [[PUBLIC], [METADATA]], "both.test": [[PUBLIC, METADATA]]}
"""What a name is at: the first time it is asked for, the second, and from then on the last."""

asked: dict[str, int] = {}
reached: list[tuple[str, str]] = []


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        reached.append((self.connection.getsockname()[0], self.path))
        where = {"/away": f"http://{METADATA}/secret", "/same": "/page", "/ring": "/ring"}.get(self.path)
        self.send_response(302 if where else 200)
        if where:
            self.send_header("Location", where)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        try:
            self.wfile.write(b"a page")
            while self.path == "/endless":
                self.wfile.write(b"x" * 100_000)
        except OSError:
            pass  # they have had enough

    def log_message(self, *args: object) -> None:
        pass


def answer(query: bytes) -> bytes:
    """What the name server says: the addresses of a name, of version 4 only."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
    name, found = ".".join(labels).lower(), list[str]()
    if kind == 1 and name in NAMES:
        asked[name] = asked.get(name, 0) + 1
        found = NAMES[name][min(asked[name], len(NAMES[name])) - 1]
    records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(ip) for ip in found)
    flags = 0x8180 if name in NAMES else 0x8183
    return query[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0) + query[12 : at + 5] + records


def name_server() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        while True:
            query, sender = server.recvfrom(4096)
            server.sendto(answer(query), sender)


def set_up() -> None:
    """Addresses on the loopback device, and the name server in the place of the machine's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for number, address in enumerate(["127.0.0.1", *ADDRESSES]):
            name = b"lo" if number == 0 else b"lo:%d" % number
            where = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(control, 0x8916, where)  # SIOCSIFADDR
        fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", 0x41))  # SIOCSIFFLAGS: up and running
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)


def main() -> int:
    set_up()
    threading.Thread(target=name_server, daemon=True).start()
    threading.Thread(target=ThreadingHTTPServer(("0.0.0.0", 80), Site).serve_forever, daemon=True).start()
    code = subprocess.run(sys.argv[1:]).returncode
    print(json.dumps(reached), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
