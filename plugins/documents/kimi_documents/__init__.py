"""The documents plugin: PDF, Word, Excel, PowerPoint and Jupyter notebooks as text that can be cited."""

from collections.abc import Iterable

from kimi_agent import __version__
from kimi_agent.core.tool import Tool
from kimi_agent.plugin import Host, Plugin
from kimi_documents.kinds import READERS


def _tools(host: Host) -> Iterable[Tool]:
    from kimi_documents.read_document import ReadDocument

    return (ReadDocument(),)


plugin = Plugin(
    name="documents",
    description="reads PDF, Word, Excel, PowerPoint and Jupyter notebooks",
    version=__version__,
    tools=_tools,
    readers=READERS,
)
