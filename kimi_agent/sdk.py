"""The agent from Python: `from kimi_agent import Agent`. A session with typed events, configured as on the command line."""

import os
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kimi_agent.agent.agent import Agent as Machine
from kimi_agent.agent.session import Session
from kimi_agent.config import Overrides, home_dir, load_config
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Answer, Ask, Deny, Dismissed, Permission, Question
from kimi_agent.core.errors import KimiError
from kimi_agent.core.message import Image
from kimi_agent.core.tool import Tool
from kimi_agent.plugin import Plugin

NOBODY = "This program gives no permissions. Go on without the call, or say in the final answer what was needed."
NO_ANSWER = "Nobody can answer. Say in the final answer what you assumed."


class TurnFailed(KimiError):
    """A turn that did not end well. `end` says how; `answer` is the last text there was."""

    def __init__(self, end: ev.TurnEnded, answer: str) -> None:
        super().__init__(end.error or f"the turn ended: {end.stop}")
        self.end, self.answer = end, answer


class Agent:
    """One session. Use it as `async with Agent(...) as agent`; it is opened then.

    Settings are those of the command line: `config.toml` of `home` (else `$KIMI_HOME`, else `~/.kimi`), the environment
    (`KIMI_API_KEY`, ...), `model`, `provider` and `base_url` as the flags of these names. `session` is the id of one to go on
    with. `ask` answers permissions and questions; without it nothing that needs a permission runs (`mode="yolo"` allows all).
    `tools` and `plugins` are added to the installed plugins, which `load_plugins=False` leaves out.

    `trust` says what happens to what the folder tells the model (AGENTS.md, skills, ...) and nobody has trusted: True reads it,
    False leaves it out with a line on standard error, None does what the configuration says.

    Opening raises ConfigError, NoModelError and SessionError.
    """

    def __init__(
        self,
        cwd: str | Path = ".",
        *,
        model: str = "",
        mode: ev.Mode = "default",
        session: str | None = None,
        ask: Ask | None = None,
        tools: Sequence[Tool] = (),
        plugins: Iterable[Plugin] = (),
        load_plugins: bool = True,
        trust: bool | None = None,
        provider: str = "",
        base_url: str = "",
        config: str | None = None,
        home: str | Path | None = None,
    ) -> None:
        self._cwd, self._mode, self._ask = Path(cwd).resolve(), mode, ask or _nobody
        self._wanted = session
        self._home = Path(home).expanduser().absolute() if home is not None else None
        self._flags, self._config = Overrides(model=model, provider=provider, base_url=base_url), config
        self._plugins = list(plugins)
        if tools:
            self._plugins.append(Plugin(name="program", tools=lambda host: tools))
        self._load_plugins = load_plugins
        self._trust = "" if trust is None else "always" if trust else "ask"
        self._machine: Machine | None = None
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        from kimi_agent.agent.late import left_out
        from kimi_agent.build import build, offers
        from kimi_agent.plugins.load import load_plugins
        from kimi_agent.trust_question import told_left_out

        home = self._home or home_dir(os.environ)
        config = load_config(home / "config.toml", os.environ, self._flags, text=self._config)
        if config.default_model and not config.models[config.default_model].model:
            from kimi_agent.login import with_served_model

            config = await with_served_model(config)
        found = load_plugins(home, config.plugins, lambda tool: offers(config, tool)) if self._load_plugins else []
        self._machine = build(config, cwd=self._cwd, home=home, plugins=[*self._plugins, *found], trust=self._trust)
        if paths := left_out(self._machine, self._cwd):
            sys.stderr.write(f"kimi: {told_left_out(paths, '`kimi trust` shows them, Agent(trust=True) reads them')}\n")
        chosen = config.default_model if self._wanted is None or self._flags.model else None
        self._session = self._machine.open(
            self._wanted, ask=self._ask, cwd=self._cwd, mode=self._mode, model=chosen or None
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._machine is not None:
            await self._machine.aclose()
        self._machine = self._session = None

    @property
    def session(self) -> Session:
        """The session itself: `id`, `events()`, `steer`, `interrupt`, `set_mode`, `undo`, `compact`, ..."""
        if self._session is None:
            raise RuntimeError("the agent is not open: use `async with Agent(...) as agent`")
        return self._session

    def prompt(self, text: str, images: tuple[Image, ...] = ()) -> AsyncIterator[ev.Event]:
        """Run a turn and yield its events (kimi_agent.core.event). Leaving the loop early interrupts the turn."""
        return self.session.prompt(text, images)

    async def run(self, text: str, images: tuple[Image, ...] = ()) -> str:
        """Run a turn to its end and answer the last text. Raises TurnFailed when the turn does not end well."""
        answer, end = "", None
        async for event in self.prompt(text, images):
            if isinstance(event, ev.MessageAdded) and event.message.role == "assistant":
                answer = event.message.text or answer
            elif isinstance(event, ev.TurnEnded):
                end = event
        if end is None or end.stop != "done":
            raise TurnFailed(end or ev.TurnEnded("interrupted"), answer)
        return answer


async def _nobody(question: Question) -> Answer:
    return Deny(NOBODY) if isinstance(question, Permission) else Dismissed(NO_ANSWER)
