"""A call that is refused until a page was visited (error -32042 of revision 2025-11-25): the person is led there first."""

from typing import TYPE_CHECKING, Any

from kimi_agent.core.errors import ToolError
from kimi_agent.mcp.failures import leaves

if TYPE_CHECKING:
    from kimi_agent.mcp.connection import Connection

URL_NEEDED = -32042
_MOST = 3
"""Pages of one refusal."""


def pages(error: BaseException | None) -> list[Any]:
    """What a refusal wants visited; none where it is another error."""
    for each in leaves(error) if error is not None else ():
        if getattr(each, "code", None) == URL_NEEDED:
            data = getattr(each, "data", None)
            found = data.get("elicitations") if isinstance(data, dict) else None
            return [page for page in found if isinstance(page, dict)][:_MOST] if isinstance(found, list) else []
    return []


async def visit(connection: "Connection", wanted: list[Any], session: str) -> None:
    """Lead the person to each page, and wait until they say that they have finished. Raises ToolError when they do not."""
    from mcp import types
    from pydantic import ValidationError

    name, elicit = connection.server.name, connection.link.elicit
    refused = ToolError(
        f"{name} wants a page to be visited first, and the user did not. Call it again only if they ask."
    )
    if elicit is None:
        raise refused
    for page in wanted:
        try:
            params = types.ElicitRequestURLParams.model_validate({**page, "mode": "url"})
        except ValidationError:
            raise ToolError(f"{name} wants a page to be visited first, and does not say which.") from None
        if (await elicit(connection.server, params, session)).action != "accept":
            raise refused
    if (finished := connection.link.finished) is not None and not await finished(connection.server, session):
        raise refused
