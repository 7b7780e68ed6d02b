"""What the application shows and how it follows a session; the keys are in app.py."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from textual import on
from textual.app import App, ComposeResult
from textual.driver import Driver
from textual.timer import Timer

from kimi_agent import __version__
from kimi_agent.agent.agent import Agent
from kimi_agent.agent.late import trusts
from kimi_agent.agent.session import Session
from kimi_agent.agent.transcript import NoticeBlock
from kimi_agent.commands import completes_arguments, find, looks_like_command
from kimi_agent.core import event as ev
from kimi_agent.core.errors import KimiError
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.conversation import Conversation
from kimi_agent.frontends.common.file_listing import lister
from kimi_agent.frontends.common.files import FileIndex, git_branch
from kimi_agent.frontends.common.guard import Clock
from kimi_agent.frontends.common.history import PromptHistory
from kimi_agent.frontends.common.look import Look
from kimi_agent.frontends.common.notify import Notifier
from kimi_agent.frontends.common.servers import ServersWatch
from kimi_agent.frontends.common.status import box_word
from kimi_agent.frontends.common.unsent import KEEP_S, Unsent
from kimi_agent.frontends.tui.commanding import CANCEL, Commanding
from kimi_agent.frontends.tui.draw.local import IntroBlock
from kimi_agent.frontends.tui.draw.palette import PLAIN_PALETTE, Palette, palette_from
from kimi_agent.frontends.tui.graphics import pictures_of
from kimi_agent.frontends.tui.pasting import Pasting
from kimi_agent.frontends.tui.questions import Questions
from kimi_agent.frontends.tui.settling import Settling
from kimi_agent.frontends.tui.shell import TuiShell
from kimi_agent.frontends.tui.shellmode import ShellMode
from kimi_agent.frontends.tui.themes import DARK, TERMINAL, THEMES, theme_name
from kimi_agent.frontends.tui.typing_order import OrderedApp
from kimi_agent.frontends.tui.view import TranscriptView
from kimi_agent.frontends.tui.waking import Waking
from kimi_agent.frontends.tui.widgets.bars import ActivityBar, StatusBar, WaitingTexts
from kimi_agent.frontends.tui.widgets.composer import Composer
from kimi_agent.frontends.tui.widgets.panel import LOW_ROWS, TINY_ROWS, AskPanel
from kimi_agent.frontends.tui.widgets.popup import completions

HINT_S = 2.0
INTERRUPT = (("Esc", "interrupt"),)
HINTS = (
    ("Enter", "send", "Shift-Enter", "new line"),
    ("/", "commands", "@", "files"),
    ("Ctrl-X", "your own shell", "Shift-Tab", "plan mode"),
    ("Esc", "interrupt", "Ctrl-C twice", "leave"),
)


class SessionApp(OrderedApp):
    """One session at a time. Raises SessionError or NoModelError when it cannot be opened, before the screen is touched."""

    TITLE = "kimi"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (TINY_ROWS, "-low"), (LOW_ROWS, "-high")]

    def __init__(
        self,
        agent: Agent,
        *,
        session_id: str | None = None,
        prompt: str = "",
        mode: ev.Mode = "default",
        model: str | None = None,
        cwd: Path | None = None,
        look: Look = Look(),  # noqa: B008 - frozen
        clock: Clock = time.monotonic,
        version: str = __version__,
    ) -> None:
        self.no_colors = "NO_COLOR" in os.environ
        super().__init__(ansi_color=True if self.no_colors else None)
        for theme in THEMES:
            self.register_theme(theme)
        # Not by `set_theme`: a theme that changes after the start costs reading all styles a second time.
        self.set_reactive(
            App.theme,
            TERMINAL if self.no_colors else self._theme_of("dark" if look.theme == "terminal" else look.theme),
        )
        self.stylesheet.set_variables(self.get_css_variables())
        self.animation_level = "none"
        self.agent, self.clock, self.version = agent, clock, version
        self.look, self.notifier = look, Notifier(look.notifications, self.write_control)
        self.questions = Questions(self)
        self.asker = self.questions.asker
        session = agent.open(session_id, ask=self.asker.ask, cwd=cwd, mode=mode, model=model)
        self.talk = Conversation(session, clock, still=look.still)
        self.commands = TuiShell(self, agent, session)
        self.waking, self._settling = Waking(self), Settling(self)
        self.palette: Palette = PLAIN_PALETTE
        self._first_prompt = prompt
        self._unsent = Unsent(agent.home, session.id, session.cwd, agent.redactor.text)
        self._keeping: Timer | None = None
        self._servers = ServersWatch(lambda: self.call_later(self.update_bars))
        self._hint = ""
        self._branch = ""
        self._starting = False  # a turn is about to begin
        self.commanding = Commanding(self)
        self._shown = False
        self.view = TranscriptView(id="transcript")
        self.view.paints, self.view.streams_thinking = not self.no_colors, look.show_thinking
        self.view.diffs, self.view.clock, self.view.counts = look.diffs, clock, not look.still
        self.activity, self.waiting, self.status = ActivityBar(id="activity"), WaitingTexts(), StatusBar(id="status")
        self.status.items = look.status_line
        self.composer = Composer(
            lambda: completions(self.talk.session),
            self._files(session),
            PromptHistory(session.cwd, agent.home, agent.redactor.text),
        )
        self.composer.servers = lambda: self.talk.session.servers
        self.composer.arguments = lambda text: completes_arguments(text, self.talk.session)
        self.shell = ShellMode(self, session.cwd)
        self.pasting = Pasting(self)

    # --- life ---------------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield self.view
        yield self.activity
        yield self.waiting
        yield self.composer
        yield self.status

    def get_driver_class(self) -> type[Driver]:
        usual = super().get_driver_class()
        if usual.__name__ != "LinuxDriver":
            return usual
        from kimi_agent.frontends.tui.driver import TerminalDriver

        return TerminalDriver

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"line": self.current_theme.panel or "#444444" if not self.current_theme.ansi else "ansi_bright_black"}

    async def on_mount(self) -> None:
        if self.look.theme == "terminal":  # Textual hands colours through only when a theme of them is set now
            self.set_theme("terminal")
        self.theme_changed_signal.subscribe(self, lambda _: self._apply_palette())
        self._apply_palette()
        self.view.pictures = pictures_of(self, self.look.images, self.write_control)
        self.app_resume_signal.subscribe(self, lambda _: self.view.pictures_lost())
        self._shown = True
        self._ticker = self.set_interval(1.0, self._tick, pause=True)
        self.composer.area.focus()
        self.open(self.talk.session)
        self.view.show([NoticeBlock(0, "warning", text) for text in self.agent.notices])
        self._settling.begin(self._first_prompt)

    def set_theme(self, wanted: str) -> bool:
        """Draw with `dark`, `light`, `auto`, ...; False, and nothing changes, when no colours are wanted at all."""
        if not self.no_colors:
            self.theme = self._theme_of(wanted)
        return not self.no_colors

    def _theme_of(self, wanted: str) -> str:
        name = theme_name(wanted)
        return name if name in self.available_themes else DARK.name

    def _apply_palette(self) -> None:
        theme = self.current_theme
        self.palette = palette_from(self.theme_variables, ansi=theme.ansi)
        for widget in (self.activity, self.waiting, self.status):
            widget.palette = self.palette
            widget.refresh()
        self.view.set_palette(self.palette)
        self.composer.set_palette(self.palette)
        self.update_bars()

    def open(self, session: Session) -> None:
        """Show a session from its beginning."""
        self.waking.follow(session)
        self.talk = Conversation(session, self.clock, still=self.look.still)
        blocks = self.talk.replay()
        self.view.cwd = str(session.cwd)
        self.view.reset([self._intro(), *blocks])
        self.shell.move(session.cwd)
        if session.cwd != self.composer.files.root:
            self.composer.files = self._files(session)
            self.composer.history = PromptHistory(session.cwd, self.agent.home, self.agent.redactor.text)
        self._branch = git_branch(session.cwd)
        self._unsent = Unsent(self.agent.home, session.id, session.cwd, self.agent.redactor.text)
        if kept := self._unsent.kept():
            self.commands.put(plain(kept))
            self.notify_hint("What was not sent is in the prompt again")
        self.update_bars()

    def _files(self, session: Session) -> FileIndex:
        trust = self.agent.trust(session.cwd)
        return FileIndex(session.cwd, lambda: lister(session.box, trusted=not trust.left_out))

    @on(Composer.Edited)
    def _keep_soon(self) -> None:
        if self._keeping is None:
            self._keeping = self.set_timer(KEEP_S, self._keep_unsent)

    def _keep_unsent(self) -> None:
        """Of an open shell prompt nothing is kept: it may hold a secret of the command that reads it."""
        self._keeping = None
        status = self.talk.transcript.status
        draft = "" if self.shell.on else self.composer.area.expanded_text
        self._unsent.keep([*status.steering, *status.queue, draft])

    def _intro(self) -> IntroBlock:
        session = self.talk.session
        lines = [("model", session.model.name or "none: /login sets one up"), ("folder", str(session.cwd))]
        if session.title:
            lines.append(("title", session.title))
        return IntroBlock(self.version, tuple(lines), HINTS)

    def on_app_focus(self) -> None:
        self.notifier.away = False

    def on_app_blur(self) -> None:
        self.notifier.away = True

    def write_control(self, sequence: str) -> None:
        """Send the terminal a control sequence that draws nothing."""
        if self._driver is not None:
            self._driver.write(sequence)

    def leave(self, code: int = 0) -> None:
        """End the application; a running turn is interrupted and its history closed."""
        self.waking.follow(None)
        self._keep_unsent()
        self._unsent.seal()
        self.talk.session.interrupt()
        self.shell.kill()
        self.view.pictures.clear()
        self.exit(code, return_code=code)

    # --- events -------------------------------------------------------------------------------------------------------

    def feed(self, event: ev.Event) -> None:
        """Fold one event of the session in and draw what it changed."""
        self.notifier.follow(event)
        self.view.show(self.talk.feed(event))
        if isinstance(event, ev.Queued):
            self._keep_unsent()
        if isinstance(event, ev.TextDelta | ev.ThinkDelta | ev.ToolProgress | ev.CallDelta | ev.Prefill):
            self._say_activity()
        else:
            self.update_bars()

    async def drive(self, events: AsyncIterator[ev.Event], sent: str = "") -> None:
        """Draw a turn (or a compaction) while it runs. What was `sent` and could not be kept is in the prompt again."""
        self._ticker.resume()
        self.call_later(self.update_bars)
        try:
            async for event in events:
                self._starting = False
                sent = "" if isinstance(event, ev.MessageAdded) else sent
                self.feed(event)
        except KimiError as error:  # the session's log cannot be written, say: what was drawn stays
            self.view.show([NoticeBlock(0, "error", error.full)])
        finally:
            self._starting = False
            self._ticker.pause()
            self._branch = git_branch(self.talk.session.cwd)
            self.talk.transcript.status.running = False
            self.update_bars()
        if sent:
            self.commands.put(sent)

    def start(self, text: str) -> None:
        """Begin a turn with `text`."""
        self.view.following = True
        self.begin(self.talk.session.prompt(text), text)

    def begin(self, events: AsyncIterator[ev.Event], sent: str = "") -> None:
        self._starting = True
        self.run_worker(self.drive(events, sent), group="turn")

    @property
    def busy(self) -> bool:
        """Whether a turn or a command runs, or is about to."""
        return self.talk.session.running or self._starting or len(self.commanding) > 0

    def _tick(self) -> None:
        self.view.tick()
        self.update_bars()

    # --- what is sent -------------------------------------------------------------------------------------------------

    @on(Composer.Submitted)
    def _submitted(self, event: Composer.Submitted) -> None:
        self.submit(event.text)

    def submit(self, text: str) -> None:
        """What Enter does with a text: a shell command, a slash command, a turn, or a place in the queue."""
        session = self.talk.session
        if self.shell.take(text) or self._settling.holds(text):
            return
        if self._is_command(text):
            self.commanding.start(text)
        elif session.running:
            session.queue(text)
        elif self._starting:
            self.call_later(self.submit, text)
        else:
            self.start(text)

    def _is_command(self, text: str) -> bool:
        """Whether it is a command, also a mistyped one. A skill or custom command is a prompt, a path is another."""
        if (found := find(text, self.talk.session)) is not None and found[0].prompt:
            return False
        return looks_like_command(text)

    def start_waiting(self) -> None:
        """Begin the turns that were queued while something ran that was no turn."""
        waiting = self.talk.transcript.status.queue
        while self.talk.take_back() is not None:
            pass
        if waiting:
            self.start(waiting[0])
            for later in waiting[1:]:
                self.call_later(self.talk.session.queue, later)

    def shell_began(self) -> None:
        """A command of the person's shell runs from now on."""
        self._ticker.resume()
        self.call_later(self.update_bars)

    def shell_ended(self) -> None:
        if not self.talk.session.running:
            self._ticker.pause()
        self._branch = git_branch(self.shell.cwd)
        self.update_bars()

    # --- questions ----------------------------------------------------------------------------------------------------

    @property
    def panel(self) -> AskPanel | None:
        """What asks the person, if anything does."""
        return self.questions.panel

    @on(AskPanel.Answered)
    def _answered(self, event: AskPanel.Answered) -> None:
        self.asker.answer(event.answer)

    @on(AskPanel.Typed)
    def _typed_early(self, event: AskPanel.Typed) -> None:
        self.questions.type(plain(event.text))

    @on(AskPanel.Erased)
    def _erased_early(self) -> None:
        self.questions.erase()

    # --- bars ---------------------------------------------------------------------------------------------------------

    def update_bars(self) -> None:
        """Say what is going on; widgets draw only what is new."""
        if not self._shown:
            return
        status = self.talk.transcript.status
        status.mcp = self._servers.tally(self.talk.session.servers)
        cwd = self.shell.cwd if self.shell.on else self.talk.session.cwd
        self.status.update(
            status, cwd=cwd, branch=self._branch, thinking=self.talk.session.thinking, shell=self.shell.on,
            box=box_word(self.talk.session.box, read_only=not trusts(self.agent, self.talk.session.cwd)),
        )  # fmt: skip
        self.composer.feeding = self.shell.feeding
        self._say_activity()
        self.waiting.update(status.steering, status.queue)

    def _say_activity(self) -> None:
        words, worrying = self.talk.activity()
        if self._hint:
            self.questions.bar.hint(self._hint)
        elif self.panel is not None:
            self.questions.tell(self.panel)
        elif not words and self.commanding.words and not self.shell.running:
            self.activity.tell(self.commanding.words, CANCEL)
        elif not words or self.shell.feeding:
            self.activity.tell(*self.shell.activity())
        else:
            self.activity.tell(words, INTERRUPT, worrying=worrying)

    def notify_hint(self, text: str) -> None:
        """A short word above the prompt that goes away by itself."""
        self._hint = text
        self.update_bars()
        self.set_timer(HINT_S, self._clear_hint)

    def _clear_hint(self) -> None:
        self._hint = ""
        self.update_bars()
