"""A listing of vegetables, for tests of how the shells let a person look through one."""

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from kimi_agent.core.errors import SessionError
from kimi_agent.core.listing import Listing, Row, RowKey

ROWS = (
    Row("k", "kale", "a cabbage that stands the winter", 0.42, "pinned", "Leaves"),
    Row("s", "spinach", "eaten young, and quickly", 0.003, "", "Leaves"),
    Row("c", "chard", "its stalks are red, yellow or white", 0.12, "", "Leaves"),
    Row("b", "beetroot", "sweet; it colours everything", 0.2, "", "Roots"),
    Row("p", "parsnip", "after the first frost", 0.0, "running", "Roots"),
)


class Garden:
    """What its keys did is in `done`."""

    def __init__(self, rows: Sequence[Row] = ROWS) -> None:
        self.rows = list(rows)
        self.done: list[str] = []
        self.previews: list[str] = []
        self.slow: asyncio.Event | None = None  # previews wait for it

    def listing(self, letters: bool = True, **options: object) -> Listing:
        keys = (
            RowKey("d", "drop", self._drop),
            RowKey("b", "break", self._break),
        )
        moves = (RowKey("alt+up", "move up", self._up), RowKey("delete", "delete", self._drop))
        listing = Listing(
            "What grows", lambda: self.rows, keys=keys if letters else moves, preview=self._preview,
            head=lambda: f"{len(self.rows)} kinds in one bed",
        )  # fmt: skip
        return replace(listing, **options)

    async def _drop(self, row: str) -> str:
        self.done.append(f"drop {row}")
        self.rows = [each for each in self.rows if each.id != row]
        return f"Dropped {row}."

    async def _break(self, row: str) -> str:
        if row == "s":
            raise PermissionError(13, "Permission denied", "/bed")
        raise SessionError("the spade is broken", "Use a fork.")

    async def _up(self, row: str) -> str:
        at = next(at for at, each in enumerate(self.rows) if each.id == row)
        if at:
            self.rows = [*self.rows[: at - 1], self.rows[at], self.rows[at - 1], *self.rows[at + 1 :]]
        return ""

    async def _preview(self, row: str) -> str:
        self.previews.append(row)
        if self.slow is not None:
            await self.slow.wait()
        name = next(each.label for each in self.rows if each.id == row)
        return f"# {name}\n\nSow **{name}** in spring:\n\n- in rows\n- one thumb deep\n\n```sh\nwater {name}\n```\n"


def many(count: int, of: Callable[[int], Row] = lambda n: Row(f"r{n}", f"row {n}", f"number {n}")) -> list[Row]:
    return [of(number) for number in range(count)]
