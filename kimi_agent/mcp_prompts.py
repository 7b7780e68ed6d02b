"""Prompts of MCP servers as slash commands: `/server:prompt arguments`. What is needed and was not given is asked for."""

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kimi_agent.agent.served import arguments_of, called, listed, missing
from kimi_agent.core.ask import Choice, Chosen, Item, Option
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.sanitize import visible
from kimi_agent.core.servers import Argument, Prompt, Servers

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session
    from kimi_agent.commands import Shell

_PROPOSED = 8
_ODD = re.compile(r"[\s`|\"'\\]")


def prompts_of(session: "Session") -> list[Prompt]:
    """Those that can be called by a word, which shows what it is."""
    prompts = session.servers.prompts() if session.servers is not None else ()
    return [
        prompt for prompt in prompts if not _ODD.search(word := prompt.server + prompt.name) and visible(word) == word
    ]


def usage_of(prompt: Prompt) -> str:
    names = [(visible(argument.name), argument.required) for argument in prompt.arguments]
    return " ".join(f"<{name}>" if required else f"[{name}]" for name, required in names)


def about(prompt: Prompt) -> str:
    """In one line; it is the server's own text."""
    return visible(" ".join(prompt.description.split())) or f"a prompt of {prompt.server}"


async def prompt_command(name: str, shell: "Shell", args: str) -> None:
    """Run a turn about the prompt. Raises ConfigError for one that there is not, ToolError where its server is not there."""
    session, text = shell.session, f"/{name} {args}".rstrip()
    servers = session.servers
    call = called(text, servers)
    assert servers is not None
    assert call is not None
    servers.start()
    await servers.arrived(call.server)
    prompt = listed(servers, call)
    if prompt is None:
        known = ", ".join(p.name for p in servers.prompts() if p.server == call.server) or "none"
        raise ConfigError(f"{call.server} has no prompt {call.name!r}", f"It has: {known}.")
    given = arguments_of(prompt, args)
    for argument in missing(prompt, given):
        value = await _asked(shell, servers, prompt, argument, given)
        if not value:
            shell.show(f"`/{name}` needs {argument.name}: nothing was sent.")
            return
        given[argument.name] = value
        text += " " + shlex.quote(f"{argument.name}={value}")
    if session.running:
        session.queue(text)
    else:
        await shell.run(session.prompt(text))


async def _asked(
    shell: "Shell", servers: Servers, prompt: Prompt, argument: Argument, given: dict[str, str]
) -> str | None:
    """None when nothing was answered."""
    words = visible(" ".join(argument.description.split()))
    label = f"{visible(argument.name)}{f' ({words})' if words else ''}"
    proposed = await servers.complete(prompt.server, prompt, argument.name, "", given)
    if not proposed:
        answer = await shell.ask_text(label)
        return answer.strip() if answer else None
    options = tuple(Option(value) for value in proposed[:_PROPOSED])
    chosen = await shell.session.ask(Choice((Item(f"{prompt.server}:{prompt.name} needs {label}", options),)))
    return chosen.values[0][0] if isinstance(chosen, Chosen) and chosen.values and chosen.values[0] else None


async def complete_prompt(name: str, session: "Session", args: str) -> Sequence[Option]:
    """What the last word of the arguments may be, as the server proposes it, and the names of arguments."""
    servers = session.servers
    call = called(f"/{name}", servers)
    prompt = listed(servers, call) if servers is not None and call is not None else None
    if prompt is None or servers is None:
        return []
    before, _, begun = args.rpartition(" ")
    given = arguments_of(prompt, before)
    named, equals, value = begun.partition("=")
    names = {argument.name: argument for argument in prompt.arguments}
    if equals and named in names:
        found = await servers.complete(prompt.server, prompt, named, value, given)
        return [Option(f"{named}={shlex.quote(each)}", _words_of(names[named])) for each in found]
    left = [argument for argument in prompt.arguments if argument.name not in given]
    options = []
    if left:
        found = await servers.complete(prompt.server, prompt, left[0].name, begun, given)
        options = [Option(shlex.quote(each), _words_of(left[0])) for each in found]
    return [*options, *(Option(f"{a.name}=", _words_of(a)) for a in left if a.name.startswith(begun))]


def _words_of(argument: Argument) -> str:
    words = visible(" ".join(argument.description.split()))
    return f"{argument.name}: {words}" if words else argument.name
