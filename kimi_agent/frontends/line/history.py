"""The history of the session's folder, for prompt-toolkit."""

from prompt_toolkit.history import History

from kimi_agent.frontends.common.history import PromptHistory
from kimi_agent.frontends.common.pastes import Pastes
from kimi_agent.frontends.line.screen import Owner


class LineHistory(History):
    """`keep` is false while what is typed answers a question, or goes to a command: that is never stored."""

    def __init__(self, owner: Owner, pastes: Pastes) -> None:
        super().__init__()
        self._owner, self._pastes = owner, pastes
        self._stored: PromptHistory | None = None
        self.keep = True

    def _store(self) -> PromptHistory:
        if self._stored is None:
            self._stored = PromptHistory(self._owner.folder(), self._owner.home(), self._owner.hide)
        return self._stored

    def load_history_strings(self) -> list[str]:
        return list(reversed(self._store().entries))

    def append_string(self, string: str) -> None:
        if self.keep and string.strip():
            super().append_string(string)

    def store_string(self, string: str) -> None:
        self._store().add(self._pastes.expand(string))
