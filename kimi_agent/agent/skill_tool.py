"""Skill: the instructions of a skill, read when the model calls for them."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from kimi_agent.agent.skills import Library, Skill
from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import SessionError, ToolError
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output


class SkillParams(Struct, frozen=True):
    name: str
    arguments: str = ""


class SkillTool:
    """Reads one of the listed skills, and nothing else; the permission gates see the file that is read."""

    name = "Skill"
    description = "Get the instructions of a skill from the list of skills, before you begin a task that it fits."
    Params: type[Any] = SkillParams

    def __init__(self, library: Callable[[], Library]) -> None:
        """`library` answers the skills of the session as they are now."""
        self._library = library

    def effects(self, params: SkillParams, ctx: ToolContext) -> Sequence[Effect]:
        return (Effect("read", os.path.realpath(self._find(params.name).path)),)

    async def preview(self, params: SkillParams, ctx: ToolContext) -> Display | None:
        return Plain(str(self._find(params.name).path))

    async def run(self, params: SkillParams, ctx: ToolContext) -> ToolOutput:
        skill = self._find(params.name)
        try:
            text = skill.text(params.arguments)
        except SessionError as error:
            raise ToolError(error.full) from None
        return text_output(text, Plain(str(skill.path)))

    def _find(self, name: str) -> Skill:
        wanted = name.strip().lstrip("/").casefold().removeprefix("skill:")
        skills = {skill.name.casefold(): skill for skill in self._library().for_model()}
        if wanted not in skills:
            known = ", ".join(list(skills)[:100])
            raise ToolError(f"There is no skill {name!r}. Known: {known}.")
        return skills[wanted]
