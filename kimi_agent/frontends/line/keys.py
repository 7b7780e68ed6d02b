"""Keys of line mode in a real terminal."""

from collections.abc import Callable

from prompt_toolkit.application import get_app, run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, has_completions
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from kimi_agent.frontends.common.editor import edit
from kimi_agent.frontends.common.pastes import Pastes
from kimi_agent.frontends.line.pasting import add_pasting
from kimi_agent.frontends.line.screen import Owner


def bindings(owner: Owner, pastes: Pastes, tell: Callable[[str], None]) -> KeyBindings:
    """Enter sends; Alt-Enter, Ctrl-J and a backslash before Enter break the line. `tell` prints a word to the person."""
    keys = KeyBindings()
    add_pasting(keys, owner, pastes, tell)
    _sending(keys, owner, pastes)
    _stopping(keys, owner)
    _modes(keys, owner, pastes)
    return keys


def _sending(keys: KeyBindings, owner: Owner, pastes: Pastes) -> None:
    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None
        elif buffer.document.char_before_cursor == "\\":
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def newline(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @keys.add("c-s")
    def steer(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if owner.steer(pastes.expand(buffer.text)):
            buffer.append_to_history()
            buffer.reset()

    @Condition
    def empty() -> bool:
        return not get_app().current_buffer.text

    @keys.add("up", filter=empty)
    def take_back(event: KeyPressEvent) -> None:
        text = owner.take_back()
        if text is None:
            event.current_buffer.auto_up()
        else:
            event.current_buffer.insert_text(text)


def _stopping(keys: KeyBindings, owner: Owner) -> None:
    @keys.add("escape", filter=~has_completions)
    def stop(event: KeyPressEvent) -> None:
        owner.interrupt()

    @keys.add("escape", filter=has_completions)
    def close_menu(event: KeyPressEvent) -> None:
        event.current_buffer.cancel_completion()

    @keys.add("c-c")
    @keys.add("<sigint>")
    def stop_or_clear(event: KeyPressEvent) -> None:
        if not owner.interrupt():
            if not event.current_buffer.text:
                owner.explain_leaving()
            event.current_buffer.reset()

    @keys.add("c-d", filter=Condition(lambda: not get_app().current_buffer.text))
    def leave(event: KeyPressEvent) -> None:
        owner.end_input()

    @keys.add("c-z", filter=Condition(owner.feeding))
    def suspend(event: KeyPressEvent) -> None:
        owner.suspend_command()


def _modes(keys: KeyBindings, owner: Owner, pastes: Pastes) -> None:
    @keys.add("c-x", eager=True)
    def shell(event: KeyPressEvent) -> None:
        owner.toggle_shell()

    @keys.add("c-g")
    def give(event: KeyPressEvent) -> None:
        if output := owner.output_for_model():
            event.current_buffer.insert_text(f"{pastes.attach(output)} ")

    @keys.add("s-tab")
    def plan(event: KeyPressEvent) -> None:
        owner.toggle_plan()

    @keys.add("c-o", filter=Condition(lambda: not owner.secret))
    def editor(event: KeyPressEvent) -> None:
        if command := owner.editor():
            event.app.create_background_task(_write_in_editor(event.current_buffer, command, pastes))


async def _write_in_editor(buffer: Buffer, command: list[str], pastes: Pastes) -> None:
    text = pastes.expand(buffer.text)
    edited = await run_in_terminal(lambda: edit(command, text), in_executor=True)
    if edited is not None:
        buffer.document = Document(edited)
