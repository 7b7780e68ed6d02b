"""One session as it is shown: its transcript, and what it is doing right now."""

import time
from collections.abc import Callable

from kimi_agent.agent.session import Session
from kimi_agent.agent.transcript import AnswerBlock, AnyBlock, CallBlock, ThoughtBlock, Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import one_line, seconds, thousands

SILENCE_S = 12.0
"""After so long without a byte from the model the person is told."""


class Conversation:
    """When it is to be `still`, what it does is told in words that do not count seconds."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic, *, still: bool = False) -> None:
        self.session, self._still = session, still
        self.transcript = Transcript()
        self._clock = clock
        self._turn_began = self._last_byte = self._retry_began = clock()

    def replay(self) -> list[AnyBlock]:
        """Fold the session's log; answers all its blocks. What a killed process left open is no longer running."""
        for event in self.session.events():
            self.transcript.apply(event)
        self.transcript.status.running = self.session.running
        self.transcript.status.mode = self.session.mode
        self.transcript.status.model = self.session.model.name
        return self.transcript.blocks

    def feed(self, event: ev.Event) -> list[AnyBlock]:
        """Fold one event in; answers the blocks that changed."""
        self._last_byte = self._clock()
        if isinstance(event, ev.TurnStarted):
            self._turn_began = self._last_byte
        elif isinstance(event, ev.Retrying) and event.attempt:
            self._retry_began = self._last_byte
        return self._close_thought(self.transcript.apply(event))

    def _close_thought(self, changed: list[AnyBlock]) -> list[AnyBlock]:
        """A thought is over when something follows it, although its message is still being written."""
        blocks = self.transcript.blocks
        before = blocks[-2] if len(blocks) > 1 else None
        if isinstance(before, ThoughtBlock) and not before.done:
            before.done = True
            return [before, *changed]
        return changed

    def take_back(self) -> str | None:
        """The newest waiting text, no longer waiting."""
        text = self.session.take_back()
        status = self.transcript.status
        if text is not None and not self.session.running:  # no event tells us
            if status.queue:
                status.queue = status.queue[:-1]
            else:
                status.steering = status.steering[:-1]
        return text

    # --- what it is doing ---------------------------------------------------------------------------------------------

    def activity(self) -> tuple[str, bool]:
        """What is going on, in a few words, empty when nothing is; and whether it is something to worry about."""
        now, status = self._clock(), self.transcript.status
        if not self.session.running:
            return "", False
        if (retry := status.retry) is not None:
            left = max(0, round(self._retry_began + retry.wait_s - now))
            other = f" with {plain(retry.model)}" if retry.model else ""
            when = "soon" if self._still else f"in {left} s"
            return f"Trying again{other} {when} (attempt {retry.attempt}): {one_line(retry.error)}", True
        counts = not self._still and now - self._turn_began >= 1
        took = f" · {seconds(now - self._turn_began)}" if counts else ""
        doing = self._doing()
        if doing in ("Thinking", "Answering", "Waiting for the model") and now - self._last_byte >= SILENCE_S:
            silent = "a while" if self._still else f"{now - self._last_byte:.0f} s"
            return f"{doing} · no byte for {silent}{took}", True
        todo = next((todo.title for todo in status.todos if todo.status == "in_progress"), "")
        about = f" · {one_line(todo, 60)}" if todo else ""
        return f"{doing}{took}{about}", False

    def _doing(self) -> str:
        blocks = [block for block in self.transcript.blocks[-32:] if not block.void]
        running = [block for block in blocks if isinstance(block, CallBlock) and block.state == "running"]
        if running:
            agents = sum(block.nested is not None for block in running)
            names = dict.fromkeys(plain(block.call.name) for block in running if block.nested is None)
            told = [f"{agents} subagent{'s' * (agents > 1)}"] if agents else []
            return f"Running {', '.join([*told, *names])}"
        last = blocks[-1] if blocks else None
        if isinstance(last, CallBlock) and last.state == "writing":
            return f"Writing a call of {plain(last.call.name)}"
        if isinstance(last, CallBlock) and last.state == "waiting":
            return "Waiting for your answer"
        if isinstance(last, ThoughtBlock) and not last.done:
            return "Thinking"
        if isinstance(last, AnswerBlock) and not last.done:
            return "Answering"
        if (read := self.transcript.status.prefill) is not None and read.done < read.total:
            return f"Reading the prompt · {100 * read.done // read.total} % of {thousands(read.total)} tokens"
        return "Waiting for the model"
