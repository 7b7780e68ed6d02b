"""macOS: the profile of `/usr/bin/sandbox-exec -p` for what R3 does on Linux. Not tried on hardware, so no rung uses it yet.

Source: the profiles in /System/Library/Sandbox/Profiles; the language is documented by Apple nowhere.
"""

from collections.abc import Iterable, Iterator

from kimi_agent.workspaces.sandbox.profile import Profile

_HEAD = """\
(version 1)
(deny default)
(allow process-fork process-exec)
(allow signal (target same-sandbox))
(allow process-info* (target same-sandbox))
(allow sysctl-read)
(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo") (global-name "com.apple.system.logger"))
(allow ipc-posix-sem)
(allow pseudo-tty)
(allow file-read*)
(allow file-write* (literal "/dev/null") (literal "/dev/zero") (literal "/dev/tty") (regex #"^/dev/ttys[0-9]+$"))
"""
_LOOPBACK = """\
(allow network-bind network-inbound (local ip "localhost:*"))
(allow network-outbound (remote ip "localhost:*"))
"""
_NETWORK = "(allow network*)\n"


def seatbelt_profile(profile: Profile) -> str:
    """The text of a profile. The last rule that matches holds, so what narrows comes after what it narrows."""
    return _HEAD + "".join(_rules(profile)) + (_NETWORK if profile.net else _LOOPBACK if profile.sockets else "")


def _rules(profile: Profile) -> Iterator[str]:
    yield from _rule("allow", "file-write*", profile.writable)
    yield from _rule("deny", "file-write*", (*profile.readonly, *profile.placeholders))
    yield from _rule("deny", "file-read* file-write*", profile.hidden)
    yield from _rule("allow", "file-read*", profile.shown)
    inner = [path for path in profile.writable if any(path.startswith(f"{other}/") for other in profile.hidden)]
    yield from _rule("allow", "file-read* file-write*", inner)
    for path in (*profile.readonly, *profile.placeholders, *profile.hidden):  # their parents cannot be renamed
        if any(path.startswith(f"{root}/") for root in profile.writable):
            yield from _rule("deny", "file-write-unlink", _parents(path, profile.writable), "literal")


def _parents(path: str, roots: Iterable[str]) -> list[str]:
    found = []
    while (path := path.rpartition("/")[0]) and path not in roots:
        found.append(path)
    return found


def _rule(word: str, what: str, paths: Iterable[str], how: str = "subpath") -> Iterator[str]:
    if named := "".join(f"\n  ({how} {_quoted(path)})" for path in paths):
        yield f"({word} {what}{named})\n"


def _quoted(path: str) -> str:
    """As the language has strings. Raises ValueError for a path that cannot be written in it."""
    if any(ord(char) < 32 or "\ud800" <= char <= "\udfff" for char in path):
        raise ValueError(f"{path!r} cannot be named in a Seatbelt profile")
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
