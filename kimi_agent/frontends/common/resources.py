"""The resources of MCP servers that `@` completes: `@server:uri`, and templates whose parts the server proposes."""

import re
from collections.abc import Sequence

from msgspec import Struct

from kimi_agent.core.sanitize import visible
from kimi_agent.core.servers import Resource, Servers

SHOWN = 20
_PART = re.compile(r"\{[+#./;?&]?([^},*:]*)[^}]*\}")


class Offered(Struct, frozen=True):
    """`path` is what stands behind the `@`; `about` is for people."""

    path: str
    about: str


def names_server(servers: Servers | None, query: str) -> bool:
    """Whether what is typed behind `@` can only be a resource."""
    return servers is not None and any(query.startswith(f"{state.name}:") for state in servers.states())


async def offered(servers: Servers | None, query: str) -> list[Offered]:
    """What a mention that is typed so far may be, best first. Nothing for an empty one: there files are offered."""
    if servers is None or not query:
        return []
    found = list[Offered]()
    for each in servers.resources():
        prefix = f"{each.server}:"
        if each.template and query.startswith(prefix):
            found += [
                Offered(prefix + uri, _about(each)) for uri in await _of_template(servers, each, query[len(prefix) :])
            ]
        elif query.lower() in f"{prefix}{each.uri} {each.name}".lower():
            uri = each.uri.partition("{")[0] if each.template else each.uri
            found.append(Offered(prefix + uri, _about(each)))
    unique = {each.path: each for each in found if each.path == visible(each.path) and '"' not in each.path}
    return sorted(unique.values(), key=lambda each: not each.path.startswith(query))[:SHOWN]


def is_whole(path: str) -> bool:
    """Whether nothing more is to be typed behind it: a folder and the beginning of a template end so."""
    return not path.endswith(("/", ":", "=", "?"))


async def _of_template(servers: Servers, template: Resource, typed: str) -> Sequence[str]:
    """Addresses that begin as `typed` does and go on as the template does, up to the end of the part that is being typed."""
    pieces = _PART.split(template.uri)  # literal, name, literal, name, ..., literal
    done, known = "", dict[str, str]()
    for literal, name, following in zip(pieces[0::2], [*pieces[1::2], ""], [*pieces[2::2], ""], strict=True):
        rest = typed[len(done) :]
        if not rest.startswith(literal):
            return [done + literal] if literal.startswith(rest) else []
        done, rest = done + literal, rest[len(literal) :]
        if not name:
            return []
        value, found, _ = rest.partition(following) if following else (rest, "", "")
        if not found:
            values = await servers.complete(template.server, template, name, value, known)
            return [f"{done}{each}{following}" for each in values]
        done, known[name] = done + value, value
    return []


def _about(resource: Resource) -> str:
    return visible(" ".join((resource.description or resource.name).split()))
