"""Skills and custom commands: Markdown files with instructions. Names are listed, texts are read when they are called for.

Nothing of such a file is executed here, and the file of a project may come from a stranger: it is text for the model, no more.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from kimi_agent.agent import frontmatter
from kimi_agent.agent.placeholders import fill
from kimi_agent.agent.tokens import text_tokens
from kimi_agent.core.errors import SessionError
from kimi_agent.core.head import read_head
from kimi_agent.core.trust import Reader

if TYPE_CHECKING:
    from kimi_agent.agent.flows import FlowRun

TEXT_LIMIT = 128 * 1024
"""Bytes of a file that are given to the model."""
LISTING_TOKENS = 1400
"""What the listing in the system prompt may cost; descriptions are shortened until it fits, then names are left out."""
DESCRIPTION_SIZES = (240, 160, 120, 80, 60, 40, 24, 0)

_CALL = re.compile(r"/(?P<name>\w[\w.:-]*)(?:\s+(?P<args>.*))?\Z", re.DOTALL)


class Skill(Struct, frozen=True):
    """A skill or a custom command. `arguments` are the names that `$name` may stand for, `hint` is for people.

    A skill that is a `flow` holds a diagram, which `/flow:name` walks through. `read` reads its file, and refuses what nobody
    has trusted.
    """

    name: str
    description: str
    path: Path
    kind: Literal["skill", "command"] = "skill"
    arguments: tuple[str, ...] = ()
    hint: str = ""
    for_model: bool = True
    for_person: bool = True
    flow: bool = False
    of_project: bool = False
    read: Reader = read_head

    def text(self, arguments: str = "") -> str:
        """The instructions with the arguments filled in, and where their files lie. Raises SessionError when they are gone."""
        try:
            data = self.read(self.path, TEXT_LIMIT + 1)
            _, body = frontmatter.split(data[:TEXT_LIMIT].decode("utf-8", "replace"))
        except OSError as error:
            raise SessionError(f"the {self.kind} {self.name} cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise SessionError(f"the {self.kind} {self.name} cannot be used: {error}", str(self.path)) from None
        body = fill(body, arguments.strip(), self.arguments, str(self.path.parent))
        if len(data) > TEXT_LIMIT:
            body += f"\n\n[cut after {TEXT_LIMIT} bytes; read {self.path} for the rest]"
        where = f" Its files lie in {self.path.parent}." if self.path.name == "SKILL.md" else ""
        return f"[Instructions of the {self.kind} {self.name}.{where}]\n\n{body}"

    def run(self) -> "FlowRun":
        """A walk through the diagram of a flow. Raises SessionError when it is gone or broken."""
        from kimi_agent.agent.flows import FlowRun, read_flow

        try:
            flow = read_flow(self.read(self.path, TEXT_LIMIT).decode("utf-8", "replace"))
        except OSError as error:
            raise SessionError(f"the flow {self.name} cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise SessionError(f"the flow {self.name} is broken: {error}", str(self.path)) from None
        return FlowRun(flow, self.name, self.arguments, str(self.path.parent))


BUILT_IN = (
    Skill(
        "init", "let the agent write AGENTS.md", Path(__file__).with_name("init.md"), "command", hint="[what matters]"
    ),
)


class Library(Struct, frozen=True):
    """What one folder's sessions can call. `broken` says, for the person, which files were left out and why.

    `reserved` are the names of a front end's own commands: those are reached by `/skill:name` only.
    """

    skills: Mapping[str, Skill] = field(default_factory=dict)
    commands: Mapping[str, Skill] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    reserved: frozenset[str] = frozenset()
    offered: bool = True
    """Whether the model is told of the skills and may call them."""

    def for_model(self) -> list[Skill]:
        return [skill for skill in self.skills.values() if skill.for_model] if self.offered else []

    def for_person(self) -> dict[str, Skill]:
        """By the name that is typed after the slash; a custom command comes before a skill of the same name."""
        skills = [skill for skill in self.skills.values() if skill.for_person]
        found = {f"skill:{s.name}": s for s in skills} | {f"flow:{s.name}": s for s in skills if s.flow}
        taken = {*self.reserved, *(name.casefold() for name in found)}
        for each in (*self.commands.values(), *self.skills.values()):
            name = each.name.casefold()
            if each.for_person and name not in taken and not name.startswith("skill:"):
                found[each.name] = each
                taken.add(name)
        return found

    def find(self, text: str) -> tuple[Skill, str] | None:
        """The skill or command that a prompt such as `/name arguments` calls, and its arguments."""
        match = _CALL.match(text.strip()) if text.lstrip().startswith("/") else None
        if match is None:
            return None
        name, arguments = match["name"].casefold(), (match["args"] or "").strip()
        flow = self.skills.get(name.removeprefix("flow:")) if name.startswith("flow:") else None
        if name.startswith("skill:"):
            skill = self.skills.get(name.removeprefix("skill:"))
        elif flow is not None and flow.flow:
            skill = flow
        else:
            own = next((skill for skill in BUILT_IN if skill.name == name), None)
            skill = own or (None if name in self.reserved else self.commands.get(name) or self.skills.get(name))
        return (skill, arguments) if skill is not None and skill.for_person else None

    def expand(self, text: str) -> str:
        """The instructions that a prompt calls for; empty when it calls none. Raises SessionError as `Skill.text` does."""
        found = self.find(text)
        return found[0].text(found[1]) if found else ""

    def script(self, text: str) -> "FlowRun | None":
        """The flow that a prompt such as `/flow:name arguments` runs, None for every other prompt. Raises as `Skill.run`.

        `start` takes the arguments that `find` answers.
        """
        found = self.find(text) if text.lstrip().casefold().startswith("/flow:") else None
        return found[0].run() if found is not None and found[0].flow else None

    def listing(self) -> str:
        """The part of the system prompt that names the skills; empty when there is none."""
        skills = self.for_model()
        if not skills:
            return ""
        head = (
            "# Skills\n\nInstructions for certain tasks. When one fits the task, call Skill with its name before you begin; "
            "these lines only describe them."
        )
        for size in DESCRIPTION_SIZES:
            text = "\n".join([head, "", *(_line(skill, size) for skill in skills)])
            if text_tokens(text) <= LISTING_TOKENS:
                return text
        lines, spent = [], text_tokens(head) + 20
        for skill in skills:
            spent += text_tokens(_line(skill, 0)) + 1
            if spent > LISTING_TOKENS:
                break
            lines.append(_line(skill, 0))
        return "\n".join([head, "", *lines, f"- (and {len(skills) - len(lines)} more)"])


def _line(skill: Skill, size: int) -> str:
    text = skill.description
    if len(text) > size:
        text = text[: size - 1].rstrip() + "…" if size else ""
    return f"- {skill.name}: {text}" if text else f"- {skill.name}"
