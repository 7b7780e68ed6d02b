"""The head of a request to the proxy, read so that no two programs can read it differently."""

import re

from msgspec import Struct


class Refused(Exception):
    """Why a request goes no further; for the command and the person."""


class Request(Struct):
    """The head of what a client asks the proxy."""

    method: str
    target: str
    headers: list[tuple[str, str]]

    def header(self, name: str) -> str:
        """Its one value; empty when there is none. Raises Refused when there are several."""
        found = [value for key, value in self.headers if key == name]
        if len(found) > 1:
            raise Refused(f"several {name} headers")
        return found[0] if found else ""


def authority(text: str, port: int) -> tuple[str, int]:
    """Host and port. Raises Refused for anything else: user names, brackets, odd ports."""
    host, colon, number = text.partition(":")
    if not host or (colon and not (number.isascii() and number.isdigit() and 0 < int(number) < 65536)):
        raise Refused(f"{text!r:.100} is no host name")
    return host, int(number) if colon else port


def parse(head: bytes) -> Request:
    """Raises Refused for a head that two programs could read in two ways."""
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or "\n" in head.decode("latin-1").replace("\r\n", ""):
        raise Refused("this is no HTTP request")
    headers = []
    for line in lines:
        key, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", key) or "\0" in value or "\r" in value:
            raise Refused("this is no HTTP request")
        headers.append((key.lower(), value.strip(" \t")))
    return Request(words[0], words[1], headers)
