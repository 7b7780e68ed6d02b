"""The research plugin: arXiv, notes whose quotes were checked, and a report whose citations lead to them."""

from collections.abc import Iterable
from pathlib import Path

from kimi_agent import __version__
from kimi_agent.core.tool import Tool
from kimi_agent.plugin import Host, Plugin

ARXIV_URL = "https://export.arxiv.org/api/query"


def _tools(host: Host) -> Iterable[Tool]:
    from kimi_research.arxiv import Arxiv
    from kimi_research.notes import Notebook, Notes
    from kimi_research.report import Report
    from kimi_research.sources import Sources

    mirror = str(host.options.get("arxiv_url", ""))
    notebook = Notebook(str(host.options.get("folder", "research")))
    return (
        Arxiv(mirror or ARXIV_URL, allow_private=host.allow_private or bool(mirror)),
        Notes(notebook, Sources(host.readers, allow_private=host.allow_private)),
        Report(notebook),
    )


plugin = Plugin(
    name="research",
    description="searches arXiv, keeps notes with checked quotes, writes reports with citations",
    version=__version__,
    tools=_tools,
    skills=(Path(__file__).parent / "skills",),
)
