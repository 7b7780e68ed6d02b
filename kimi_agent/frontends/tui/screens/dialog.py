"""What lies above the conversation and answers when it is closed."""

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, ScreenResultType


class Dialog(ModalScreen[ScreenResultType]):
    """While another screen lies above it, closing waits: Textual would close that one instead."""

    _late: tuple[ScreenResultType | None] | None = None
    _dismissed = False

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        if self._dismissed:  # the second of two quick keys
            return AwaitComplete()
        if self.app.screen is not self:
            self._late = (result,)
            return AwaitComplete()
        self._dismissed = True
        return super().dismiss(result)

    def on_screen_resume(self) -> None:
        if self._late is not None:
            self.dismiss(*self._late)
