"""No address of this machine, its network or its cloud is reached by a fetch, however it is written or named (T26)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kimi_program import Program
from private_net import METADATA, PUBLIC

SERVER = str(Path(__file__).parent.parent / "private_net.py")
IN_NET = ["unshare", "-rnm", sys.executable, SERVER]

VECTORS = """
http://127.0.0.1/ http://127.1/ http://2130706433/ http://0x7f000001/ http://0177.0.0.1/ http://0/ http://0.0.0.0/
http://[::1]/ http://[::]/ http://[::ffff:127.0.0.1]/ http://[::ffff:a9fe:a9fe]/ http://169.254.169.254/ http://0xA9FEA9FE/
http://2852039166/ http://[fd00:ec2::254]/ http://100.100.100.200/ http://100.64.0.1/ http://[64:ff9b::a9fe:a9fe]/
http://[2002:7f00:1::]/ http://192.168.1.1/ http://10.0.0.1/ http://localhost/ http://localhost./ http://LOCALHOST/
http://user@127.0.0.1/ http://8.8.8.8@127.0.0.1/ http://127.0.0.1#@8.8.8.8/ http://８.８.８.８/ http://①②⑦.0.0.1/
http://[fe80::1%25lo]/ file:///etc/passwd gopher://x/ http://198.18.0.1/ http://224.0.0.1/ http://255.255.255.255/
http://192.0.0.192/ http://168.63.129.16/ http://both.test/ http://moving.test/second
"""
INSIDE = VECTORS.split()


def has_net() -> bool:
    """Whether this machine gives a program a net and mounts of its own."""
    if sys.platform != "linux":
        return False
    try:
        return subprocess.run([*IN_NET, "true"], capture_output=True).stdout == b"[]\n"
    except FileNotFoundError:
        return False


def fetch(url: str) -> dict[str, Any]:
    return {"call": {"name": "FetchURL", "arguments": {"url": url}}}


def test_nothing_inside_is_reached(tmp_path: Path) -> None:
    if not has_net():
        pytest.skip("needs a net namespace")
    kimi = Program(tmp_path)
    outside = ["http://8.8.8.8/", "http://public.test/same", "http://public.test/away", "http://public.test/ring"]
    outside += ["http://public.test/endless", "http://moving.test/same"]
    scenario = kimi.scenario(list(map(fetch, outside)), list(map(fetch, INSIDE)), [{"text": "Done."}])
    arguments = ["--afk", "-p", "look", "--provider", scenario, "--output-format", "stream-json"]
    done = subprocess.run(
        [*IN_NET, sys.executable, "-m", "kimi_agent", *arguments],
        capture_output=True, text=True, cwd=kimi.work, env=kimi.environment(), stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    *lines, last = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    messages = [json.loads(line)["message"] for line in lines if '"tool_result"' in line]
    found = sorted((message["parts"][0] for message in messages), key=lambda part: int(part["call_id"].split("_")[1]))
    texts = dict(zip([*outside, *INSIDE], (part["content"][0]["text"] for part in found), strict=True))
    failed = {url for url, part in zip(texts, found, strict=True) if part.get("is_error")}
    assert failed >= set(INSIDE), {url: texts[url] for url in INSIDE if url not in failed}
    assert texts["http://8.8.8.8/"].endswith("a page")
    assert texts["http://public.test/same"].endswith("a page")
    assert f"Fetch that one to go on: http://{METADATA}/secret" in texts["http://public.test/away"]
    assert "redirects more than" in texts["http://public.test/ring"]
    assert "only the first 5 MB" in texts["http://public.test/endless"]
    assert f"moving.test is at {METADATA}" in texts["http://moving.test/same"], "the name has moved between two hops"
    assert {address for address, _ in json.loads(last)} == {PUBLIC}
