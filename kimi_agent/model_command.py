"""The slash command /model: the configured models and those that the providers serve."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kimi_agent.core.listing import Listing, Row
from kimi_agent.core.provider import Model

if TYPE_CHECKING:
    from kimi_agent.commands import Shell

NONE = "No model is configured. `/login` sets one up."


async def model_command(shell: "Shell", args: str) -> None:
    """`/model NAME`, or pick one. Raises KimiError as `Session.set_model` does."""
    name = args.strip() or await _pick(shell)
    if not name:
        return
    if name not in shell.agent.models:
        served = {model.name: model for model in await shell.agent.served_models()}
        if name in served:
            shell.agent.models[name] = served[name]
    shell.apply(shell.session.set_model(name))
    shell.show(f"The model is now **{name}**. The next request does not find its prompt in the provider's cache.")


async def _pick(shell: "Shell") -> str:
    """The name of a model, which is one of the agent's from now on; empty when none was picked."""
    panel = ModelPanel(shell)
    try:
        if not shell.agent.models and not await panel.asking:
            shell.show(NONE)
            return ""
        picked = await shell.browse(panel.listing()) or ""
        served = next((model for model in panel.served if model.name == picked), None)
        if served is not None:
            shell.agent.models.setdefault(picked, served)
        return picked
    finally:
        panel.asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await panel.asking


class ModelPanel:
    """The listing of models. `asking` asks the providers while the list is shown."""

    def __init__(self, shell: "Shell") -> None:
        self._shell = shell
        self.asking = asyncio.ensure_future(shell.agent.served_models())

    def listing(self) -> Listing:
        return Listing("Model", self._rows, picks="use", head=self._head, live=True)

    @property
    def served(self) -> Sequence[Model]:
        """What is known by now of what the providers serve."""
        return self.asking.result() if self.asking.done() and not self.asking.cancelled() else ()

    def _head(self) -> str:
        asking = "" if self.asking.done() else "; asking the providers what they serve"
        return f"now {self._shell.session.model.name or 'none'}{asking}"

    def _rows(self) -> Sequence[Row]:
        configured, now = self._shell.agent.models, self._shell.session.model.name
        served = [model for model in self.served if model.name not in configured]
        heading = "Configured" if served else ""
        rows = [_row(model, now, heading) for model in configured.values()]
        return [*rows, *(_row(model, now, "Served by the providers") for model in served)]


def _row(model: Model, now: str, group: str) -> Row:
    return Row(model.name, model.name, about(model), mark="now" if model.name == now else "", group=group)


def about(model: Model) -> str:
    """Provider, context size, what it can do, prices and id, as far as they are known."""
    parts = [model.provider, f"{model.context_size // 1000}k context" if model.context_size else ""]
    parts.append("thinking" if model.capabilities & {"thinking", "always_thinking"} else "")
    parts.append("images" if "image_in" in model.capabilities else "")
    if model.prices is not None:
        parts.append(f"{model.prices.input:g} in, {model.prices.output:g} out per million")
    parts.append(model.id if model.id != model.name else "")
    return ", ".join(filter(None, parts))
