"""Attack a box of one rung, or (`control`) no box at all, and look at what came of it. Prints JSON."""

import asyncio
import json
import os
import secrets
import select
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kimi_agent.workspaces.process import run_process
from kimi_agent.workspaces.sandbox.box import Box
from kimi_agent.workspaces.sandbox.policy import Places
from kimi_agent.workspaces.spawn import room_of

ATTACKS = Path(__file__).with_name("attacks.py")


def lay_out(place: Path, mark: str) -> None:
    for name in (
        "out/empty",
        "work/.git/hooks",
        "work/deep/er/.git/hooks",
        "work/module",
        "work-evil",
        "user/.ssh",
        "home/sessions",
    ):
        (place / name).mkdir(parents=True)
    for name in (
        "out/file",
        "out/other",
        "out/third",
        "out/fourth",
        "work-evil/file",
        "work/.git/config",
        "work/.git/HEAD",
    ):
        (place / name).write_text("original")
    (place / "work/module/.git").write_text("gitdir: ../.git/modules/module")
    for name in ("user/.ssh/id_ed25519", "user/.netrc", "home/config.toml", "home/sessions/other.jsonl", "work/.env"):
        (place / name).write_text(f"token = {mark}")
    (place / "work/server.pem").write_text(f"-----BEGIN PRIVATE KEY-----\n{mark}")


def fingerprint(*folders: Path) -> list[tuple[Any, ...]]:
    """Everything that can be changed about the files below some folders."""
    found = []
    for path in sorted(path for folder in folders if folder.exists() for path in [folder, *folder.rglob("*")]):
        stat = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        names = os.listxattr(path, follow_symlinks=False)
        found.append((path, stat.st_mode, stat.st_uid, stat.st_ino, stat.st_mtime_ns, content, names))
    return found


async def main(rung: str, *, control: bool) -> dict[str, Any]:
    mark = secrets.token_hex(8)
    os.environ["KIMI_API_KEY"] = mark
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        place = Path(os.path.realpath(name))
        lay_out(place, mark)
        box = Box(Places(str(place / "home"), str(place / "user")), rungs=[rung])
        stack.callback(box.close)
        if box.prove().rung != rung:
            return {"reason": str(box.prove().reasons)}
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        tcp6 = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        path, abstract = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        path.bind(str(place / "out/socket"))
        path.listen()
        abstract.bind("\0" + mark)
        abstract.listen()
        agent = subprocess.Popen(
            ["sh", "-c", f"read line # {mark}"], stdin=subprocess.PIPE, env={"KEY": mark, "PATH": os.defpath}
        )
        guarded = [
            place / name
            for name in ("out", "work-evil", "user", "home", "work/.git", "work/deep/er/.git", "work/module")
        ]
        before = fingerprint(*guarded)
        told = {
            "out": str(place / "out"), "work": str(place / "work"), "user_home": str(place / "user"), "home": str(place / "home"),
            "pid": agent.pid, "mark": mark, "port": tcp.getsockname()[1], "port6": tcp6.getsockname()[1],
            "udp": udp.getsockname()[1], "abstract": mark, "namespaces": rung != "R1", "control": control,
        }  # fmt: skip
        output = bytearray()
        argv = [sys.executable, "-I", "-S", str(ATTACKS), json.dumps(told)]
        env = {"PYTHONWARNINGS": "ignore"}
        room = None if control else room_of(box, place / "work")
        ended = await run_process(argv, cwd=place / "work", env=env, timeout=60, on_output=output.extend, room=room)
        done = json.loads(output.splitlines()[-1]) if ended.code == 0 else {}
        done["kill_the_agent"] = agent.poll() is not None
        done["udp"] = bool(select.select([udp], [], [], 0)[0])
        done["anything_outside_changed"] = fingerprint(*guarded) != before
        agent.kill()
        agent.wait()
        return {"done": done, "code": ended.code, "said": output.decode("utf-8", "replace")[-2000:]}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], control=sys.argv[2:] == ["control"]))))
