"""What of a folder was not trusted when a session began, and how the session takes it up when it is.

The system prompt and the tools stay as they are, byte for byte; a message tells the model.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.agent.agent_types import AgentType
from kimi_agent.agent.prompt import instruction_texts
from kimi_agent.agent.skills import Library
from kimi_agent.agent.store import clean
from kimi_agent.core.message import Message
from kimi_agent.core.rules import Rules

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent
    from kimi_agent.agent.session import Session

HEAD = "[The user trusts what this folder says of how to work in it. It holds from now on.]"


def left_out(agent: "Agent", folder: Path) -> Sequence[str]:
    """Files of a folder that are not read because nobody has trusted them; what was written since is noticed."""
    trust = agent.trust(folder)
    if trust.asks:
        agent.look_again(folder)
        (
            agent.skills(folder),
            agent.agent_types(folder),
            instruction_texts(folder, agent.home, trust),
            rules_of(agent, folder),
        )
    return trust.left_out


def rules_of(agent: "Agent", folder: Path) -> Rules | None:
    """The rules as the files have them now."""
    return agent.make_rules(folder) if agent.make_rules is not None else None


def trusts(agent: "Agent", folder: Path) -> bool:
    """Whether nothing of a folder waits to be trusted, as far as it was looked at."""
    return not agent.trust(folder).left_out


def take_up(agent: "Agent", session: "Session") -> None:
    """Let a session go on with what its folder offers now that more of it is trusted."""
    agent.look_again(session.cwd)
    before, session.agent_types = session.agent_types, agent.agent_types(session.cwd)
    session.skills = agent.skills(session.cwd)
    session.set_rules(rules_of(agent, session.cwd))
    session.late = late_of(agent, session, [k for name, k in session.agent_types.items() if before.get(name) != k])


def late_of(agent: "Agent", session: "Session", agents: Iterable[AgentType] = ()) -> Sequence[str]:
    """What the session's system prompt does not say of its folder. `agents` are types that no tool's description names."""
    trust = agent.trust(session.cwd)
    if not trust.asks or agent.main_agent.override:
        return ()
    system, skills = session.runner.system, session.skills
    texts = [agent.redactor.text(clean(text)) for text in instruction_texts(session.cwd, agent.home, trust)]
    parts = [text for text in texts if text not in system]
    own = Library({name: skill for name, skill in skills.skills.items() if skill.of_project}, offered=skills.offered)
    if listed := [line for line in own.listing().split("\n") if line.startswith("- ") and line not in system]:
        parts.append("\n".join(["## More skills", *listed]))
    if named := [f"- {kind.name}: {kind.description}" for kind in agents]:
        parts.append("\n".join(["## More types of subagents", *named]))
    return parts


def late_notes(messages: Sequence[Message], parts: Sequence[str]) -> list[str]:
    """A note of what the history does not hold: it is new, or was undone or summarised."""
    if not parts:
        return []
    told = [message.text for message in messages if message.origin == "agent" and message.text.startswith(HEAD)]
    missing = [part for part in parts if not any(part in text for text in told)]
    return ["\n\n".join([HEAD, *missing])] if missing else []
