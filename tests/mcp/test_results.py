"""What servers answer: every kind of content, far too much of it, and what does not fit."""

import base64
from pathlib import Path

import pytest
from mcp_fakes import fake, fake_http
from mcp_house import call, hosting
from mcp_http_server import McpHttpServer
from tool_context import make_context, text_of

from kimi_agent.core.display import Pictures
from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import Image
from kimi_agent.core.tool import ToolContext, ToolOutput

MB = 1_000_000


@pytest.fixture
def ctx(tmp_path: Path) -> ToolContext:
    return make_context(tmp_path, call_id="call/../1")


def saved(output: ToolOutput, ctx: ToolContext) -> bytes:
    """The only file that the output names."""
    path = Path(text_of(output).split("it is in ")[1].split()[0].rstrip("]"))
    assert path.parent == ctx.scratch
    return path.read_bytes()


async def test_every_kind_of_content(tmp_path: Path, ctx: ToolContext) -> None:
    async with hosting(tmp_path, {"s": fake("rich")}) as host:

        async def got(tool: str) -> ToolOutput:
            return await call(host, f"mcp__s__{tool}", ctx)

        assert '"temperature": 21.5' in text_of(await got("structured"))
        assert text_of(await got("both")) == '{"n": 1}', "said once"
        picture = await got("picture")
        assert [part.media_type for part in picture.for_model if isinstance(part, Image)] == ["image/png"]
        assert isinstance(picture.for_user, Pictures)
        assert text_of(await got("broken_picture")) == "[image (image/png) that is no base64]"
        sound = await got("sound")
        assert "[audio (audio/wav), 16 bytes" in text_of(sound)
        assert saved(sound, ctx).startswith(b"RIFF")
        assert "[link to the resource http://127.0.0.1:9/never" in text_of(await got("link"))
        assert text_of(await got("embedded")) == "[resource memo://1 (text/plain)]\na memo"
        assert saved(await got("blob"), ctx) == b"\x00\x01\x02"
        assert text_of(await got("nothing")) == "(no output)"
        escapes = text_of(await got("escapes"))
        assert "\x1b" not in escapes
        assert "\u202e" not in escapes
        assert "red" in escapes


async def test_results_that_do_not_fit_lose_nothing(tmp_path: Path, ctx: ToolContext) -> None:
    async with hosting(tmp_path, {"s": fake("dirty"), "good": fake("good")}) as host:
        mismatch = text_of(await call(host, "mcp__s__mismatch", ctx))
        assert mismatch.startswith("what it found\n")
        assert '"n": "three"' in mismatch
        assert "does not match the schema" in mismatch
        assert "what it found" in text_of(await call(host, "mcp__s__unstructured", ctx))
        unknown = text_of(await call(host, "mcp__s__unknown_block", ctx))
        assert unknown.startswith("before\n[content of a type that is not known, 'hologram'")
        assert text_of(await call(host, "mcp__s__no_content", ctx)) == "(no output)"
        failed = await call(host, "mcp__good__fail", ctx)
        assert (failed.is_error, text_of(failed)) == (True, "it failed")
        with pytest.raises(ToolError, match=r"good: it refused: refused \(-32602\)"):
            await call(host, "mcp__good__refuse", ctx)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read in /proc")
async def test_twenty_megabytes_take_a_few_times_their_size(tmp_path: Path, ctx: ToolContext) -> None:
    with fake_http("streams") as url, McpHttpServer() as web:
        servers = {"pipe": fake("big"), "events": {"url": url}, "json": {"url": web.url}}
        async with hosting(tmp_path, servers) as host:
            for server, argument in (("pipe", "n"), ("events", "n"), ("json", "size")):
                Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
                before = resident("VmRSS")
                output = await call(host, f"mcp__{server}__big", ctx, **{argument: 20 * MB})
                assert 50_000 < len(text_of(output)) < 51_000
                assert f"{20 * MB - 50_000:,} characters of {20 * MB:,} left out" in text_of(output)
                assert len(saved(output, ctx)) == 20 * MB
                assert resident("VmHWM") - before < 12 * 20 * MB, server


def resident(key: str) -> int:
    """Bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


async def test_a_result_beyond_every_bound_fails_alone(tmp_path: Path, ctx: ToolContext) -> None:
    async with hosting(tmp_path, {"s": fake("big")}) as host:
        with pytest.raises(ToolError, match="longer than 64 MiB, and was dropped"):
            await call(host, "mcp__s__big", ctx, n=68 * MB)
        assert text_of(await call(host, "mcp__s__big", ctx, n=3)) == "The"


async def test_pictures_beyond_the_first_are_files(tmp_path: Path, ctx: ToolContext) -> None:
    from mcp import types

    from kimi_agent.mcp.results import PICTURES, Saved, tool_output

    pixel = base64.b64encode(b"\x89PNG").decode()
    block = types.ImageContent(type="image", data=pixel, mime_type="image/png")
    result = types.CallToolResult(content=[block] * (PICTURES + 1))
    output = tool_output(result, Saved(ctx.scratch, ctx.call_id, ctx.redactor))
    assert sum(isinstance(part, Image) for part in output.for_model) == PICTURES
    assert saved(output, ctx) == b"\x89PNG"
