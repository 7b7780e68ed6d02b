"""Completion of slash commands and of files after `@`."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from functools import partial

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from kimi_agent.core.sanitize import visible
from kimi_agent.frontends.common.files import FileIndex, mention_before, mention_of
from kimi_agent.frontends.line.screen import Owner

_COMMAND = re.compile(r"/[\w.:-]*$")


def completes(document: Document) -> bool:
    """Whether the cursor is at the end of something that can be completed."""
    text = document.text_before_cursor
    return bool(_COMMAND.fullmatch(text) or mention_before(document.current_line_before_cursor))


def _completions(paths: Sequence[str], start: int) -> list[Completion]:
    return [Completion(mention_of(path), start, display=visible(path)) for path in paths]


async def _search_on(answers: AsyncIterator[list[str]], start: int, tell: Callable[[list[Completion]], None]) -> None:
    async for paths in answers:
        tell(_completions(paths, start))


class LineCompleter(Completer):
    """With `better`, files that are found while one types are told at once, and what is found later is told to it."""

    def __init__(self, owner: Owner, better: Callable[[Document, list[Completion]], None] | None = None) -> None:
        self._owner, self._better = owner, better
        self._files: FileIndex | None = None
        self._searching: asyncio.Task[None] | None = None

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Only commands: files are listed by the asynchronous method."""
        text = document.text_before_cursor
        if not self._owner.remembers() or not _COMMAND.fullmatch(text):
            return
        for command in self._owner.known_commands():
            names = (command.name, *command.aliases)
            name = next((name for name in names if name.startswith(text[1:])), None)
            if name is not None:
                yield Completion(f"/{name}", -len(text), display_meta=command.help)

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        for completion in self.get_completions(document, complete_event):
            yield completion
        before = document.current_line_before_cursor
        mention = mention_before(before)
        if not self._owner.remembers():
            return
        if mention is None:
            if complete_event.completion_requested:
                async for completion in self._of_command(document.text_before_cursor):
                    yield completion
            return
        if self._files is None or self._files.root != self._owner.folder():
            self._files = FileIndex(self._owner.folder(), self._owner.runs_git)
        start, query = mention
        answers, found = self._files.search(query), list[Completion]()
        async for paths in answers:
            found = _completions(paths, start - len(before))
            if found and self._better is not None and complete_event.text_inserted:
                break
        for completion in found:
            yield completion
        if self._searching is not None:
            self._searching.cancel()
        if self._better is not None:
            tell = partial(self._better, document)
            self._searching = asyncio.create_task(_search_on(answers, start - len(before), tell))

    async def _of_command(self, text: str) -> AsyncGenerator[Completion, None]:
        """Tab in a command: as the person's own shell completes it."""
        found = await self._owner.shell_candidates(text)
        if found is None:
            return
        begins, candidates = found
        start = begins + candidates.start - len(text)
        for item in candidates.items:
            yield Completion(item.insert, start, display=visible(item.label), display_meta=visible(item.help))
