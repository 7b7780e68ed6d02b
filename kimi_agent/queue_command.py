"""The slash command /queue: the texts that wait for the running turn or for its end, to be put in order or taken back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kimi_agent.agent.waiting import WaitingText
from kimi_agent.core.errors import SessionError
from kimi_agent.core.listing import Listing, Row, RowKey

if TYPE_CHECKING:
    from kimi_agent.commands import Shell


async def queue_command(shell: "Shell", args: str) -> None:
    """Raises SessionError when the text that is picked has gone its way meanwhile."""
    panel = QueuePanel(shell)
    picked = await shell.browse(panel.listing())
    if picked is not None:
        await panel.edit(picked)


class QueuePanel:
    """The listing of texts that wait, and what its keys do."""

    def __init__(self, shell: "Shell") -> None:
        self._shell, self._session = shell, shell.session

    def listing(self) -> Listing:
        return Listing(
            "Waiting texts",
            self._rows,
            picks="edit",
            keys=(
                RowKey("e", "", self.edit, closes=True),
                RowKey("d", "delete", self._delete),
                RowKey("s", "steer", self._steer),
                RowKey("alt+up", "up", self._up),
                RowKey("alt+down", "down", self._down),
                RowKey("delete", "", self._delete),
            ),
            preview=self._preview,
            preview_plain=True,
            empty="Nothing waits. What you send while a turn runs does.",
            live=True,
        )

    async def edit(self, row: str) -> str:
        """Give the text back to the person, to be sent again."""
        text = self._session.waiting.remove(int(row))
        self._tell(text is not None)
        self._shell.put(text or "")
        return ""

    def _rows(self) -> Sequence[Row]:
        waiting = self._session.waiting
        steering = [_row(each, "These join the running turn") for each in waiting.steering]
        return [*steering, *(_row(each, "These start the next turns") for each in waiting.queued)]

    async def _preview(self, row: str) -> str:
        waiting = self._session.waiting
        return next((each.text for each in (*waiting.steering, *waiting.queued) if str(each.id) == row), "")

    async def _delete(self, row: str) -> str:
        self._tell(self._session.waiting.remove(int(row)) is not None)
        return "Deleted."

    async def _steer(self, row: str) -> str:
        if not self._session.running:
            raise SessionError("no turn runs that it could join")
        self._tell(self._session.waiting.steer_now(int(row)))
        return "It joins the running turn."

    async def _up(self, row: str) -> str:
        self._tell(self._session.waiting.move(int(row), -1))
        return ""

    async def _down(self, row: str) -> str:
        self._tell(self._session.waiting.move(int(row), 1))
        return ""

    def _tell(self, waited: bool) -> None:
        """Raises SessionError for a text that has gone its way. Where no turn runs, nobody else tells the front end."""
        if not waited:
            raise SessionError("this text does not wait any more")
        if not self._session.running:
            self._shell.apply([self._session.waiting.now()])


def _row(waiting: WaitingText, group: str) -> Row:
    return Row(str(waiting.id), " ".join(waiting.text.split())[:500], group=group)
