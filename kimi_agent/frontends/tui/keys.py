"""Keys that Textual does not tell apart by itself."""


def teach() -> None:
    """Alt-Enter of terminals without the Kitty protocol comes as ESC CR: without this it would count as Enter."""
    from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
    from textual.keys import Keys

    for sequence in ("\x1b\r", "\x1b\n"):
        ANSI_SEQUENCES_KEYS[sequence] = (Keys.ControlJ,)  # type: ignore[index]
