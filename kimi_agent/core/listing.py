"""A list that a person looks through: what it shows and what its keys do. How it is drawn is the front end's business."""

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct


class Row(Struct, frozen=True):
    """One line. `id` stays the same while the list changes. `share` (0 to 1) is drawn as a bar, or told as a percentage.

    `mark` is a short word about its state ("pinned", "running"). Rows that follow one another with the same `group` stand
    under it as a heading.
    """

    id: str
    label: str
    description: str = ""
    share: float | None = None
    mark: str = ""
    group: str = ""


class RowKey(Struct, frozen=True):
    """A key that does something with the chosen row: one small letter, `delete`, `alt+up` or `alt+down`.

    `act` gets the row's id; what it answers is told to the person in one line. It may raise KimiError, which is told, too.
    A key without `help` does what another does and is not spoken of. A key that `closes` leaves the list after that, with
    no row picked, unless `act` raised.
    """

    key: str
    help: str
    act: Callable[[str], Awaitable[str]]
    closes: bool = False


class Listing(Struct, frozen=True):
    """`rows` is asked anew after each key's action, and once a second while the list is `live`.

    Enter picks a row and closes the list; where nothing can be picked (`picks` is empty) it closes it. Typing filters; where
    a key is a letter, `/` begins the filter. `search` answers the ids that match what is typed, else labels and descriptions
    are compared. `preview` is markdown, or with `preview_plain` text as it is, of the chosen row; with `preview_end` its
    end is shown first, and stays in sight while it grows. `head` stands above the rows.
    """

    title: str
    rows: Callable[[], Sequence[Row]]
    picks: str = "open"
    keys: tuple[RowKey, ...] = ()
    preview: Callable[[str], Awaitable[str]] | None = None
    preview_plain: bool = False
    preview_end: bool = False
    search: Callable[[str], Awaitable[Sequence[str]]] | None = None
    head: Callable[[], str] | None = None
    empty: str = "There is nothing here."
    live: bool = False
