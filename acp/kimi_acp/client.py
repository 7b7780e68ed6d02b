"""What the client at the other end can do."""

from typing import Any

from msgspec import Struct

from kimi_acp.hello import has, takes_drafts


class Client(Struct, frozen=True):
    """`reads`, `writes`: files, for us. `forms`: questions as forms. `terminals` runs commands, `shows_terminals` draws ours.

    `plans` and `subagents` are drafts of the protocol; so is `usage`, the tokens of a turn with its answer.
    """

    reads: bool = False
    writes: bool = False
    terminals: bool = False
    shows_terminals: bool = False
    forms: bool = False
    notices: bool = False
    compaction: bool = False
    plans: bool = False
    subagents: bool = False
    usage: bool = False
    config_options: bool = True

    @classmethod
    def of(cls, params: dict[str, Any]) -> "Client":
        """From the params of `initialize`. An editor that stumbles over `configOptions` is not given any."""
        info = params.get("clientInfo")
        info = info if isinstance(info, dict) else {}
        name, version, meta = str(info.get("name", "")), str(info.get("version", "")), info.get("_meta")
        intellij = isinstance(meta, dict) and meta.get("platform") == "intellij"
        return cls(
            reads=has(params, "fs", "readTextFile") is True,
            writes=has(params, "fs", "writeTextFile") is True,
            terminals=has(params, "terminal") is True,
            shows_terminals=has(params, "_meta", "terminal_output") is True,
            forms=isinstance(has(params, "elicitation", "form"), dict),
            notices=isinstance(has(params, "session", "notices"), dict),
            compaction=isinstance(has(params, "session", "compaction"), dict),
            plans=isinstance(has(params, "plan"), dict),
            subagents=isinstance(has(params, "subagents"), dict),
            usage=takes_drafts(params),
            config_options=not ((name.startswith("JetBrains") or intellij) and version.startswith("2026.1")),
        )
