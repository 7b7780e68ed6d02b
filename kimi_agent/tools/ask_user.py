"""AskUserQuestion: the model asks the person, with prepared answers to choose from."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from kimi_agent.core.ask import Choice, Chosen, Deny, Dismissed, Item, Option
from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.prompts import prompt

HEADER_WIDTH = 12


class OptionParam(Struct, frozen=True):
    label: str
    description: str = ""


class QuestionParam(Struct, frozen=True):
    question: str
    options: Annotated[list[OptionParam], Meta(min_length=2, max_length=4)]
    header: Annotated[str, Meta(description=f"Short label, at most {HEADER_WIDTH} characters")] = ""
    multi_select: bool = False


class AskUserQuestionParams(Struct, frozen=True):
    questions: Annotated[list[QuestionParam], Meta(min_length=1, max_length=4)]


class AskUserQuestion:
    name = "AskUserQuestion"
    description = prompt(__file__)
    Params: type[Any] = AskUserQuestionParams

    def effects(self, params: AskUserQuestionParams, ctx: ToolContext) -> Sequence[Effect]:
        return ()

    async def preview(self, params: AskUserQuestionParams, ctx: ToolContext) -> Display | None:
        return None

    async def run(self, params: AskUserQuestionParams, ctx: ToolContext) -> ToolOutput:
        answer = await ctx.ask(Choice(tuple(_item(question) for question in params.questions)))
        if isinstance(answer, Chosen):
            pairs = zip(params.questions, answer.values, strict=False)
            text = "\n".join(
                f"{question.question}\n-> {', '.join(values) or 'no answer'}" for question, values in pairs
            )
            return text_output(text, Plain(text))
        reason = answer.reason if isinstance(answer, Dismissed) else ""
        if isinstance(answer, Deny):
            reason = answer.feedback
        reason = reason or "The user did not answer."
        return text_output(
            f"{reason} Decide yourself as well as you can, or stop and say what you need.", Plain(reason)
        )


def _item(question: QuestionParam) -> Item:
    options = tuple(Option(option.label, option.description) for option in question.options)
    return Item(question.question, options, question.header[:HEADER_WIDTH], question.multi_select)
