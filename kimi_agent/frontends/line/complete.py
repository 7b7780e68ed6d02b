"""Completion of slash commands and of files after `@`."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from functools import partial

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from kimi_agent.commands import CompleteArguments, available, completes_arguments
from kimi_agent.core.sanitize import visible
from kimi_agent.frontends.common.files import FileIndex, mention_before, mention_of
from kimi_agent.frontends.common.resources import Offered, names_server, offered
from kimi_agent.frontends.line.screen import Owner

_COMMAND = re.compile(r"/[\w.:-]*$")


def completes(document: Document, owner: Owner) -> bool:
    """Whether the cursor is at the end of something that can be completed."""
    text = document.text_before_cursor
    if _COMMAND.fullmatch(text) or mention_before(document.current_line_before_cursor):
        return True
    return "\n" not in text and completes_arguments(text, owner.session) is not None


def _completions(paths: Sequence[str], start: int, more: Sequence[Offered] = ()) -> list[Completion]:
    files = [Completion(mention_of(path), start, display=visible(path)) for path in paths]
    return files + [Completion(mention_of(r.path), start, display=r.path, display_meta=r.about) for r in more]


async def _search_on(
    answers: AsyncIterator[list[str]], start: int, more: Sequence[Offered], tell: Callable[[list[Completion]], None]
) -> None:
    async for paths in answers:
        tell(_completions(paths, start, more))


async def _of_arguments(text: str, complete: CompleteArguments) -> AsyncGenerator[Completion, None]:
    """What the last word of a slash command may be."""
    begin = -len(text.rpartition(" ")[2])
    for option in await complete():
        yield Completion(option.label, begin, display=visible(option.label), display_meta=visible(option.description))


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
        for command in available(self._owner.session):
            names = (command.name, *command.aliases)
            name = next((name for name in names if name.startswith(text[1:])), None)
            if name is not None:
                yield Completion(f"/{name}", -len(text), display_meta=command.help)

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        for completion in self.get_completions(document, complete_event):
            yield completion
        if not self._owner.remembers():
            return
        text, before = document.text_before_cursor, document.current_line_before_cursor
        if mention := mention_before(before):
            found = self._of_mention(document, mention, complete_event)
        elif "\n" not in text and (complete := completes_arguments(text, self._owner.session)):
            found = _of_arguments(text, complete)
        elif complete_event.completion_requested:
            found = self._of_command(text)
        else:
            return
        async for completion in found:
            yield completion

    async def _of_mention(
        self, document: Document, mention: tuple[int, str], event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        if self._files is None or self._files.root != self._owner.folder():
            self._files = FileIndex(self._owner.folder(), self._owner.runs_git)
        begin = mention[0] - len(document.current_line_before_cursor)
        servers = self._owner.session.servers
        more = await offered(servers, mention[1])
        if names_server(servers, mention[1]):
            for completion in _completions((), begin, more):
                yield completion
            return
        answers, found = self._files.search(mention[1]), list[Completion]()
        async for paths in answers:
            found = _completions(paths, begin, more)
            if found and self._better is not None and event.text_inserted:
                break
        for completion in found:
            yield completion
        if self._searching is not None:
            self._searching.cancel()
        if self._better is not None:
            tell = partial(self._better, document)
            self._searching = asyncio.create_task(_search_on(answers, begin, more, tell))

    async def _of_command(self, text: str) -> AsyncGenerator[Completion, None]:
        """Tab in a command: as the person's own shell completes it."""
        found = await self._owner.shell_candidates(text)
        if found is None:
            return
        begins, candidates = found
        start = begins + candidates.start - len(text)
        for item in candidates.items:
            yield Completion(item.insert, start, display=visible(item.label), display_meta=visible(item.help))
