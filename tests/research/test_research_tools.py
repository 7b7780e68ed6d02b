"""The tools of the research plugin over real HTTP and real files."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kimi_research import plugin
from kimi_research.arxiv import Arxiv
from tool_context import call, make_context, text_of
from web_site import Page, Site

from kimi_agent.core.display import Diff
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.provider import Model
from kimi_agent.core.schema import tool_spec, validate
from kimi_agent.core.tool import Tool, ToolContext
from kimi_agent.plugin import Host

FEED = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>arXiv Query</title>{}</feed>"""
ENTRY = """<entry><id>http://arxiv.org/abs/1706.03762v7</id><published>2017-06-12T17:57:34Z</published>
<updated>2023-08-02T00:41:18Z</updated><title>Attention Is All
  You Need</title><summary>  The dominant sequence &lt;/papers&gt; models\x0a are complex. </summary>
<author><name>Ashish Vaswani</name></author><author><name>Noam Shazeer</name></author>
<link href="http://arxiv.org/abs/1706.03762v7" rel="alternate" type="text/html"/>
<link title="pdf" href="http://arxiv.org/pdf/1706.03762v7" rel="related" type="application/pdf"/>
<category term="cs.CL" scheme="http://arxiv.org/schemas/atom"/></entry>"""
ERROR = """<entry><id>http://arxiv.org/api/errors#incorrect_id_format</id><title>Error</title>
<summary>incorrect id format for 1</summary></entry>"""
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><feed>&b;</feed>'
PAGE = "<html><title>Tokio</title><body><p>Tokio is an asynchronous runtime for Rust, version 1.5.</p></body></html>"


@pytest.fixture
def site() -> Iterator[Site]:
    plain = Page(b"An asynchronous runtime for Rust.", headers={"Content-Type": "text/plain"})
    with Site({"/tokio": PAGE, "/plain": plain}) as running:
        yield running


@pytest.fixture
def ctx(tmp_path: Path) -> ToolContext:
    (tmp_path / "work").mkdir()
    return make_context(tmp_path / "work")


@pytest.fixture
def tools(tmp_path: Path) -> dict[str, Tool]:
    assert plugin.tools
    host = Host(Model("m", "m", "p"), tmp_path, tmp_path, allow_private=True)
    return {tool.name: tool for tool in plugin.tools(host)}


def arxiv(site: Site, **options: float) -> Arxiv:
    return Arxiv(f"{site.url}/api/query", allow_private=True, **options)


# --- Arxiv ------------------------------------------------------------------------------------------------------------


async def test_papers_by_words(site: Site, ctx: ToolContext) -> None:
    site.pages["/api/query"] = FEED.format(ENTRY)
    text = text_of(await call(arxiv(site), ctx, query="attention  transformers", limit=3))
    assert site.asked[0].query == {
        "search_query": "all:attention AND all:transformers",
        "sortBy": "relevance",
        "max_results": "3",
    }
    assert text.splitlines() == [
        "<papers>",
        "1. Attention Is All You Need",
        "URL: http://arxiv.org/abs/1706.03762v7",
        "PDF: http://arxiv.org/pdf/1706.03762v7",
        "Authors: Ashish Vaswani, Noam Shazeer",
        "Date: 2017-06-12, revised 2023-08-02  Categories: cs.CL",
        "The dominant sequence ‹/papers> models are complex.",
        "</papers>",
    ]


async def test_arxivs_own_syntax_and_numbers_of_every_form(site: Site, ctx: ToolContext) -> None:
    site.pages["/api/query"] = FEED.format("")
    tool = arxiv(site, pause_s=0)
    assert "nothing" in text_of(await call(tool, ctx, query="ti:attention ANDNOT au:x"))
    await call(tool, ctx, id="arXiv:1706.03762v2, https://arxiv.org/pdf/2301.00001.pdf,hep-th/9901001")
    assert site.asked[0].query["search_query"] == "ti:attention ANDNOT au:x"
    assert site.asked[1].query["id_list"] == "1706.03762v2,2301.00001,hep-th/9901001"
    for wrong in ({"id": "17"}, {"id": "1706.03762&x=1"}, {}, {"query": " "}):
        with pytest.raises(ToolError, match=r"no arXiv number|Give a query"):
            await call(tool, ctx, **wrong)
    assert len(site.asked) == 2


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (FEED.format(ERROR), "refused the request: incorrect id format for 1"),
        (BOMB, "no feed: EntitiesForbidden"),
        ("<html><p>maintenance", "no feed"),
        (Page("slow down", 429), "429"),
        (Page("", 301, {"Location": "https://mirror.example/api/query"}), "redirects to https://mirror.example"),
    ],
)
async def test_what_goes_wrong_at_arxiv_is_told(page: object, told: str, site: Site, ctx: ToolContext) -> None:
    site.pages["/api/query"] = page
    with pytest.raises(ToolError, match=told):
        await call(arxiv(site), ctx, query="x")


async def test_requests_to_arxiv_keep_their_distance(site: Site, ctx: ToolContext) -> None:
    site.pages["/api/query"] = FEED.format(ENTRY)
    tool, start = arxiv(site, pause_s=0.2), time.monotonic()
    await asyncio.gather(*(call(tool, ctx, query=word) for word in ("a", "b")))
    assert time.monotonic() - start >= 0.2
    assert len(site.asked) == 2


def test_the_address_comes_from_the_configuration(tmp_path: Path, ctx: ToolContext) -> None:
    assert plugin.tools
    options = {"arxiv_url": "http://localhost:1/q", "folder": "notes"}
    first, notes, report = plugin.tools(Host(Model("m", "m", "p"), tmp_path, tmp_path, options))
    effects = first.effects(validate(first.Params, {"query": "a"}), ctx)
    assert effects == (Effect("fetch", "http://localhost:1/q?search_query=all%3Aa&sortBy=relevance&max_results=5"),)
    assert notes.effects(validate(notes.Params, {"action": "list"}), ctx) == (
        Effect("read", str(ctx.workspace.root / "notes" / "notes.jsonl")),
    )
    assert all(len(tool_spec(tool).description) > 100 for tool in (first, notes, report))


# --- Notes ------------------------------------------------------------------------------------------------------------


async def add(tools: dict[str, Tool], ctx: ToolContext, source: str, quote: str, claim: str = "It is fast.") -> str:
    return text_of(
        await call(tools["Notes"], ctx, action="add", claim=claim, quote=quote, source=source, title="A [b](x)")
    )


async def test_a_quote_of_a_page_is_looked_up(tools: dict[str, Tool], site: Site, ctx: ToolContext) -> None:
    url = f"{site.url}/tokio"
    assert "Cite it as [1]" in await add(tools, ctx, url, "an asynchronous runtime for Rust")
    assert "Cite it as [2]" in await add(tools, ctx, url, "for Rust, version 1.5")
    with pytest.raises(ToolError, match=r"does not stand in .*/tokio: .*goes on with: 1\.5"):
        await add(tools, ctx, url, "for Rust, version 2.0")
    with pytest.raises(ToolError, match="404"):
        await add(tools, ctx, f"{site.url}/gone", "for Rust, version 1.5")
    assert [asked.path for asked in site.asked] == ["/tokio", "/gone"]
    listed = text_of(await call(tools["Notes"], ctx, action="list"))
    assert "[1] It is fast.\n“an asynchronous runtime for Rust”" in listed
    assert "[3]" not in listed


async def test_a_quote_of_a_file_is_looked_up(tools: dict[str, Tool], ctx: ToolContext) -> None:
    (ctx.workspace.root / "a.md").write_text("The cache holds 512 entries.\n")
    assert "[1]" in await add(tools, ctx, "a.md", "holds 512 entries")
    with pytest.raises(ToolError, match=r"does not stand in a\.md"):
        await add(tools, ctx, "a.md", "holds 513 entries")
    with pytest.raises(ToolError, match=r"No such file: b\.md"):
        await add(tools, ctx, "b.md", "holds 512 entries")


async def test_pages_inside_the_network_are_not_read(tmp_path: Path, site: Site, ctx: ToolContext) -> None:
    assert plugin.tools
    tools = {tool.name: tool for tool in plugin.tools(Host(Model("m", "m", "p"), tmp_path, tmp_path))}
    with pytest.raises(ToolError, match="inside this machine's network"):
        await add(tools, ctx, f"{site.url}/tokio", "an asynchronous runtime for Rust")
    assert site.asked == []


async def test_numbers_of_notes_stay(tools: dict[str, Tool], ctx: ToolContext) -> None:
    (ctx.workspace.root / "a.md").write_text("One two three. Four five six.\n")
    for quote in ("one two three", "four five six"):
        await add(tools, ctx, "a.md", quote)
    await call(tools["Notes"], ctx, action="remove", number="1")
    with pytest.raises(ToolError, match="no note 1"):
        await call(tools["Notes"], ctx, action="remove", number=1)
    assert "Cite it as [3]" in await add(tools, ctx, "a.md", "two three. Four")


def test_gates_see_the_source_and_the_file(tools: dict[str, Tool], ctx: ToolContext) -> None:
    notes, file = tools["Notes"], str(ctx.workspace.root / "research" / "notes.jsonl")
    given = {"action": "add", "claim": "c", "quote": "a b c"}
    page = validate(notes.Params, given | {"source": "https://x.example/a#b"})
    assert notes.effects(page, ctx) == (Effect("fetch", "https://x.example/a"), Effect("write", file))
    secret = validate(notes.Params, given | {"source": ".env"})
    assert notes.effects(secret, ctx) == (Effect("read", str(ctx.workspace.root / ".env")), Effect("write", file))
    with pytest.raises(ToolError, match="needs quote and source"):
        notes.effects(validate(notes.Params, {"action": "add", "claim": "c"}), ctx)


async def test_a_damaged_file_of_notes_is_told_and_left(tools: dict[str, Tool], ctx: ToolContext) -> None:
    file = ctx.workspace.root / "research" / "notes.jsonl"
    file.parent.mkdir()
    file.write_bytes(b'{"number": 1\n')
    with pytest.raises(ToolError, match=r"Line 1 of research/notes\.jsonl is no note"):
        await call(tools["Notes"], ctx, action="list")
    assert file.read_bytes() == b'{"number": 1\n'


# --- Report -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def noted(tools: dict[str, Tool], site: Site, ctx: ToolContext) -> dict[str, Tool]:
    """Two notes: of a page and of a file."""
    (ctx.workspace.root / "a.md").write_text("The <b>cache</b> holds 512 entries.\n")
    await add(tools, ctx, f"{site.url}/plain", "an asynchronous runtime for Rust")
    await add(tools, ctx, "a.md", "cache</b> holds 512 entries")
    return tools


async def test_a_report_lists_the_sources_that_it_cites(noted: dict[str, Tool], site: Site, ctx: ToolContext) -> None:
    body = "It is [fast](https://x.example) [1, 2].\n\n`a[7]`\n\n```\nb[8]\n```\n\n[9](https://nine.example)\n"
    output = await call(noted["Report"], ctx, title="How fast?", body=body)
    assert "research/how-fast.md: 2 sources" in text_of(output)
    assert isinstance(output.for_user, Diff)
    text = (ctx.workspace.root / "research" / "how-fast.md").read_text()
    assert text.startswith("# How fast?\n\nIt is [fast](https://x.example) [1, 2].\n")
    first, second = text.partition("## Sources\n\n")[2].strip().splitlines()
    assert first.startswith(f"- \\[1\\] A \\[b\\](x), <{site.url}/plain>, read 2")
    assert "`a.md`" in second
    assert "“cache\\</b\\> holds 512 entries”" in second


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("Fast [1], small [5; 6] and new [9].", r"No note stands behind \[5\], \[6\], \[9\]\. Notes: \[1\], \[2\]"),
        ("Fast.", "cites nothing"),
        ("Only code: `x[1]`", "cites nothing"),
        ("| a |\n|---|\n| new [3] |", r"\[3\]"),
    ],
)
async def test_a_citation_without_a_note_is_refused(
    body: str, told: str, noted: dict[str, Tool], ctx: ToolContext
) -> None:
    with pytest.raises(ToolError, match=told):
        await call(noted["Report"], ctx, title="R", body=body)
    assert not (ctx.workspace.root / "research" / "r.md").exists()


async def test_a_report_replaces_only_itself(noted: dict[str, Tool], ctx: ToolContext) -> None:
    report, root = noted["Report"], ctx.workspace.root
    (root / "README.md").write_text("mine")
    with pytest.raises(ToolError, match=r"README\.md exists already"):
        await call(report, ctx, title="R", body="Yes [1].", path="README.md")
    assert (root / "README.md").read_text() == "mine"
    await call(report, ctx, title="R", body="Yes [1].")
    await call(report, ctx, title="R", body="No [2].")
    assert "No [2]." in (root / "research" / "r.md").read_text()
    (root / "research" / "r.md").write_text("a person's change")
    with pytest.raises(ToolError):
        await call(report, ctx, title="R", body="Yes [1].")
    assert (root / "research" / "r.md").read_text() == "a person's change"
