"""`kimi mcp serve` on standard input and output, against the SDK's own client."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import warm_program
from kimi_program import Program
from processes import working_in

NOTHING: dict[str, Any] = {}


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    (program.work / "a.txt").write_text("hello\nworld\n")
    return program


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"call": {"name": name, "arguments": arguments}}


WRITES = ([{"text": "I write it."}, call("WriteFile", path="b.txt", content="new\n")], [{"text": "It is written."}])


@contextlib.asynccontextmanager
async def serving(kimi: Program, *flags: str, mode: Any = "legacy", ask: Any = None) -> AsyncIterator[Any]:
    from mcp import Client, StdioServerParameters, stdio_client

    program, words = str(warm_program.executable()), ["mcp", "serve", "-w", str(kimi.work), *flags]
    given = StdioServerParameters(command=program, args=words, env=kimi.environment(), cwd=str(kimi.folder))
    with (kimi.folder / "stderr").open("w") as log:
        async with Client(stdio_client(given, errlog=log), mode=mode, elicitation_callback=ask) as client:
            yield client


def text(result: Any) -> str:
    return "\n".join(block.text for block in result.content)


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_task_asks_its_client_and_goes_on_with_its_session(kimi: Program, mode: str) -> None:
    import mcp_types as types

    asked, told = [], []

    async def ask(_: Any, params: Any) -> types.ElicitResult:
        asked.append(params)
        return types.ElicitResult(action="accept", content={"answer": "allow once"})

    async def progress(number: float, _: float | None, message: str | None) -> None:
        told.append((number, message))

    flags = ("--provider", kimi.scenario(*WRITES))
    async with serving(kimi, *flags, mode=mode, ask=ask) as client:
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else mode)
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["run_task", "read_file", "list_files", "search"]
        result = await client.call_tool("run_task", {"prompt": "Write b."}, progress_callback=progress)
        assert text(result) == "It is written."
        outcome = result.structured_content
        expected = {"stop": "done", "steps": 2, "changed_files": ["b.txt"], "denied": [], "error": ""}
        assert {key: outcome[key] for key in expected} == expected
        assert (kimi.work / "b.txt").read_text() == "new\n"
        await until(lambda: len(told) == 2)
        assert told == [(1, "I write it."), (2, "WriteFile b.txt")]
        assert len(asked) == 1
        assert f"new file {kimi.work / 'b.txt'} (+1 -0)" in asked[0].message
        assert "  +new" in asked[0].message
        session = {"prompt": "Once more.", "session_id": outcome["session_id"]}
        again = await client.call_tool("run_task", session)
        assert again.structured_content["session_id"] == outcome["session_id"]
    shown = kimi.run("sessions", "show", outcome["session_id"]).stdout
    assert "Write b." in shown
    assert "Once more." in shown


async def test_an_answer_counts_once_and_only_with_its_question(kimi: Program) -> None:
    """Of a client of 2026-07-28 a question ends the request, and the answer comes with the next one."""
    import mcp_types as types
    from mcp import MCPError

    async def ask(*_: Any) -> Any:
        raise AssertionError("the test drives the rounds itself")

    options = [{"label": "red", "description": ""}, {"label": "blue", "description": ""}]
    question = call("AskUserQuestion", questions=[{"question": "Which?", "header": "Colour", "options": options}])
    scenario = kimi.scenario([question], [{"expect": "blue"}, *WRITES[0]], *WRITES[1:])
    async with serving(kimi, "--provider", scenario, mode="2026-07-28", ask=ask) as client:

        async def run(state: str | None, **answer: str) -> Any:
            given = {"question": types.ElicitResult(action="accept", content=answer)} if answer else None
            return await client.session.call_tool(
                "run_task", {"prompt": "Go."}, allow_input_required=True, request_state=state, input_responses=given
            )

        first = await run(None)
        second = await run(first.request_state, answer_1="blue")
        assert "WriteFile asks for permission" in second.input_requests["question"].params.message
        for stale in (first.request_state, "made up", ""):
            with pytest.raises(MCPError, match="Nothing waits for this answer"):
                await run(stale, answer="allow once")
        assert not (kimi.work / "b.txt").exists()
        assert text(await run(second.request_state, answer="allow once")) == "It is written."
        assert (kimi.work / "b.txt").exists()


async def test_what_nobody_can_be_asked_for_is_refused_and_named(kimi: Program) -> None:
    kimi.write_config("default_yolo = true\n")  # the person's word for their own sessions, not for clients
    (kimi.work / ".env").write_text("KEY=1\n")
    (kimi.work / "private.txt").write_text("private\n")
    flags = ("--provider", kimi.scenario(*WRITES), "--deny", "Read(./private.txt)", "--allow", "Read(./.env)")
    async with serving(kimi, *flags) as client:
        result = await client.call_tool("run_task", {"prompt": "Write b."})
        assert not result.is_error
        assert text(result).startswith("It is written.\nWriteFile ")
        rule = f"WriteFile({kimi.work / 'b.txt'})"
        assert f"--allow '{rule}'" in text(result)
        [denied] = result.structured_content["denied"]
        assert (denied["tool"], denied["targets"]) == ("WriteFile", [str(kimi.work / "b.txt")])
        assert not (kimi.work / "b.txt").exists()
        assert text(await client.call_tool("read_file", {"path": "a.txt"})).startswith("     1\thello")
        assert "a.txt" in text(await client.call_tool("list_files", NOTHING))
        assert text(await client.call_tool("search", {"pattern": "w.r"})) == "a.txt\n2:world"
        assert "KEY=1" in text(await client.call_tool("read_file", {"path": ".env"}))
        for arguments, words in (
            ({"path": "private.txt"}, "Not allowed"),
            ({"path": str(kimi.config)}, "lies outside of the folders of this server"),
            ({"path": "none.txt"}, "No such file"),
            (NOTHING, "missing required field `path`"),
        ):
            refused = await client.call_tool("read_file", arguments)
            assert refused.is_error
            assert words in text(refused)
    async with serving(kimi, "--provider", kimi.scenario(*WRITES), "--allow", rule) as client:
        result = await client.call_tool("run_task", {"prompt": "Write b."})
        assert (text(result), result.structured_content["denied"]) == ("It is written.", [])
        secret = await client.call_tool("read_file", {"path": ".env"})
        assert secret.is_error
        assert f"--allow 'ReadFile({kimi.work / '.env'})'" in text(secret)


async def test_what_a_client_may_not_name(kimi: Program) -> None:
    (kimi.folder / "elsewhere").mkdir()
    (kimi.work / "link").symlink_to(kimi.folder / "elsewhere")
    other = kimi.run(
        "-p",
        "hi",
        "-w",
        str(kimi.folder / "elsewhere"),
        "--output-format",
        "json",
        "--provider",
        kimi.scenario(WRITES[1]),
    )
    foreign = json.loads(other.stdout)["session_id"]
    async with serving(kimi, "--provider", kimi.scenario(WRITES[1])) as client:
        for arguments, words in (
            ({"cwd": "link"}, "no folder that this server works in"),
            ({"cwd": ".."}, "no folder that this server works in"),
            ({"cwd": "none"}, "there is no folder 'none'"),
            ({"session_id": foreign}, "there is no session"),
            ({"session_id": foreign[:3]}, "there is no session"),
            ({"session_id": "../x"}, "there is no session"),
            ({"prompt": "/clear"}, "works in the interactive shells only"),
            ({"prompt": " "}, "`prompt` is empty"),
        ):
            result = await client.call_tool("run_task", {"prompt": "hi", **arguments})
            assert result.is_error, arguments
            assert words in text(result)


async def test_a_cancelled_task_ends_with_its_processes_and_so_does_the_end_of_the_input(kimi: Program) -> None:
    begun = kimi.work / "begun"
    scenario = kimi.scenario([call("Shell", command="touch begun; sleep 300")], [{"text": "Never."}])
    async with serving(kimi, "--yolo", "--i-accept-no-sandbox", "--provider", scenario) as client:
        for ends in ("cancelled", "end of input"):
            task = asyncio.ensure_future(client.call_tool("run_task", {"prompt": "Sleep."}))
            await until(begun.exists)
            assert working_in(kimi.work)
            if ends == "cancelled":
                task.cancel()
                await until(lambda: not working_in(kimi.work), 2.0)
                begun.unlink()
    await until(lambda: not working_in(kimi.work), 2.0)
    with pytest.raises(Exception, match="Connection closed"):
        await task
    assert (kimi.folder / "stderr").read_text() == ""


async def test_sessions_run_side_by_side_each_with_one_turn(kimi: Program) -> None:
    waits = "touch begun-$RANDOM-$$; while [ ! -e go ]; do sleep 0.02; done"
    scenario = kimi.scenario([call("Shell", command=waits)], [{"text": "Done."}])
    async with serving(kimi, "--yolo", "--i-accept-no-sandbox", "--provider", scenario) as client:

        def begin() -> Awaitable[Any]:
            return asyncio.ensure_future(client.call_tool("run_task", {"prompt": "Wait."}))

        tasks = [begin()]
        await until(lambda: len(list(kimi.work.glob("begun*"))) == 1)
        [session] = (kimi.home / "sessions").glob("*.jsonl")
        tasks.append(begin())
        refused = await client.call_tool("run_task", {"prompt": "More.", "session_id": session.stem})
        assert refused.is_error
        assert "a turn is running in session" in text(refused)
        await until(lambda: len(list(kimi.work.glob("begun*"))) == 2)
        (kimi.work / "go").touch()
        results = await asyncio.gather(*tasks)
        assert [text(result) for result in results] == ["Done.", "Done."]
        assert len({result.structured_content["session_id"] for result in results}) == 2


def test_standard_output_carries_the_protocol_alone(kimi: Program) -> None:
    """Whatever comes in, and whatever a command or a client prints: each line that goes out is a message."""
    start = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    work = {"name": "run_task", "arguments": {"prompt": "Go."}}
    lines = [
        b"not json", b"\xff\xfe", b"[]", b"{}", b"",
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": start}).encode(),
        b'{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "no_such_tool"}}',
        json.dumps({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": work}).encode(),
    ]  # fmt: skip
    scenario = kimi.scenario([call("Shell", command="echo noise; cat")], [{"text": "Done."}])
    command = [sys.executable, "-m", "kimi_agent", "mcp", "serve", "--yolo", "--provider", scenario]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=kimi.work, env=kimi.environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n".join(lines) + b"\n")
        process.stdin.flush()
        answers = {}
        while 3 not in answers:
            message = json.loads(process.stdout.readline())
            answers[message["id"]] = message
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait() == 0
    assert answers[2]["error"]["code"] == -32602
    assert answers[3]["result"]["content"][0]["text"] == "Done."


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("-p", "hi"), "has no use for -p"),
        (("--continue",), "has no use for --resume"),
        (("--line",), "has no use for --line"),
        (("sessions",), "no command"),
        (("--yolo", "--afk"), "exclude each other"),
        (("-w", "/none"), "there is no folder /none"),
    ],
)
def test_flags_that_make_no_sense_are_told(kimi: Program, flags: tuple[str, ...], words: str) -> None:
    done = kimi.run("mcp", "serve", *flags)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""
