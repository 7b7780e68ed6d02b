"""What servers ask of a person (elicitation): a form to fill in, a page to visit. Nothing happens without their word."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from kimi_agent.core.ask import Ask, Choice, Chosen, Item, Option
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.form import Field, Value, fields_of, line

if TYPE_CHECKING:
    from mcp import types

ANSWER, DECLINE, OPEN, VISIT, GO_ON = "Answer", "Decline", "Open it", "I open it myself", "Go on"
MOST_FIELDS, ROUNDS = 30, 10
_MESSAGE = 4_000  # characters


class Eliciting:
    """`ask` answers who is asked for a session (see `Link`), None for nobody.

    `open_page` opens an address in a browser; None where there is no screen.
    """

    def __init__(self, ask: Callable[[str], Ask | None], open_page: Callable[[str], object] | None = None) -> None:
        self._ask, self._open = ask, open_page

    async def __call__(self, server: Server, params: Any, session: str = "") -> "types.ElicitResult":
        """The answer to a request of `server`; see `Link.elicit`."""
        from mcp import types

        ask = self._ask(session)
        if ask is None:
            return types.ElicitResult(action="decline")
        if params.mode == "url":
            return types.ElicitResult(action=await self._url(ask, server, params))
        action, content = await _form(ask, server, params)
        return types.ElicitResult(action=action, content=content)

    async def finished(self, server: Server, session: str = "") -> bool:
        """Ask whether what a page was opened for is done. False: it is given up."""
        ask = self._ask(session)
        question = f"Go on with the call of {line(server.name, 64)} when you have finished on its page."
        return ask is not None and await _picked(ask, question, (Option(GO_ON), Option("Give up"))) == GO_ON

    async def _url(self, ask: Ask, server: Server, params: Any) -> Any:
        url = str(params.url)
        name = line(server.name, 64)
        why = refusal(url)
        if why:
            text = f"{_said(name, params.message)}\n\nIt wanted you to open this address, {why}:\n\n{_fenced(visible(url))}"
            await _picked(ask, f"{name} was declined.", (Option("OK"),), text)
            return "decline"
        parts = urlsplit(url)
        lines = [
            _said(name, params.message),
            f"It asks you to open an address at **{_host(parts)}**:",
            _fenced(visible(url)),
        ]
        if warning := _looks_like_another(parts.hostname or ""):
            lines.append(f"**Careful:** {warning}")
        options = [*([Option(OPEN, "in your browser")] if self._open else []), Option(VISIT), Option(DECLINE)]
        chosen = await _picked(ask, f"Open the address of {name}?", options, "\n\n".join(lines))
        if chosen == OPEN and self._open is not None:
            self._open(url)
        return {OPEN: "accept", VISIT: "accept", DECLINE: "decline"}.get(chosen, "cancel")


def refusal(url: str) -> str:
    """Why an address is not opened, empty when it may be: pages of the web alone, encrypted or on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        assert parts.port != 0
    except (ValueError, AssertionError):
        return "which is none"
    if not host or re.search(r"[\s\x00-\x1f\x7f\\]", url):
        return "which is none"
    if "@" in parts.netloc:
        return "which hides where it leads"
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)):
        return ""
    return "which is not encrypted" if parts.scheme == "http" else "which is no page of the web"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host(parts: SplitResult) -> str:
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", visible(parts.netloc))


def _looks_like_another(host: str) -> str:
    """What to say of a name that is not written in plain letters."""
    if not any(label.startswith("xn--") for label in host.split(".")) and host.isascii():
        return ""
    try:
        spelled = host.encode("idna").decode() if not host.isascii() else host
        shown = spelled.encode().decode("idna")
    except UnicodeError:
        spelled = shown = host
    return f"this name has letters that may look like others: {visible(shown)} is {visible(spelled)}"


# --- forms ------------------------------------------------------------------------------------------------------------


async def _form(ask: Ask, server: Server, params: Any) -> tuple[Any, dict[str, Any] | None]:
    name, fields = line(server.name, 64), fields_of(params.requested_schema or {})
    said = _said(name, params.message)
    if why := _too_much(fields):
        await _picked(ask, f"{name} was declined.", (Option("OK"),), f"{said}\n\n{why}")
        return "decline", None
    wanted = ", ".join(field.title for field in fields) or "nothing but your yes"
    options = (Option(ANSWER, f"it asks for: {wanted}"), Option(DECLINE, "it is told that you do not want to"))
    consent = await _picked(ask, f"The MCP server {name} asks you something", options, said)
    if consent != ANSWER:
        return ("decline" if consent == DECLINE else "cancel"), None
    content = await _filled_in(ask, fields, name)
    return ("accept", content) if content is not None else ("cancel", None)


def _too_much(fields: Sequence[Field]) -> str:
    """Why a form is not filled in at all."""
    secret = [field.title for field in fields if field.is_secret]
    if secret:
        return (
            f"It asked for what looks like a secret ({', '.join(secret)}). kimi hands over none: what you type here goes through "
            "the server. A server that needs one can send you to a page of its own."
        )
    return f"It asked for {len(fields)} things at once." if len(fields) > MOST_FIELDS else ""


async def _filled_in(ask: Ask, fields: Sequence[Field], name: str) -> dict[str, Value] | None:
    """The answers; what does not fit is asked for again. None when the person wants no more of it."""
    content: dict[str, Value] = {}
    left = [(field, "") for field in fields]
    for _ in range(ROUNDS):
        if not left:
            return content
        answer = await ask(Choice(tuple(field.item(name, wrong) for field, wrong in left)))
        if not isinstance(answer, Chosen):
            return None
        again = []
        for (field, _), said in zip(left, answer.values, strict=True):
            try:
                value = field.value(said)
            except ValueError as error:
                again.append((field, str(error)))
            else:
                if value is not None:
                    content[field.name] = value
        left = again
    return None


# --- words ------------------------------------------------------------------------------------------------------------


async def _picked(ask: Ask, question: str, options: Sequence[Option], text: str = "") -> str:
    """The label; empty when the question was closed."""
    answer = await ask(Choice((Item(question, tuple(options), other=False),), text))
    return answer.values[0][0] if isinstance(answer, Chosen) and answer.values and answer.values[0] else ""


def _bold(name: str) -> str:
    escaped = re.sub("([*_`])", r"\\\1", name)
    return f"**{escaped}**"


def _said(name: str, message: str) -> str:
    return f"The MCP server {_bold(name)} says:\n\n{_fenced(visible(plain(message))[:_MESSAGE])}"


def _fenced(text: str) -> str:
    """A block that no text can end early."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}text\n{text}\n{fence}"
