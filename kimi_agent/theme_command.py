"""/theme: the colours of the full-screen shell, now and in later sessions."""

from typing import TYPE_CHECKING

from kimi_agent.core.ask import Option

if TYPE_CHECKING:
    from kimi_agent.commands import Shell

THEMES = {
    "auto": "dark or light, as the terminal is",
    "dark": "",
    "light": "",
    "terminal": "the terminal's own sixteen colours",
    "high-contrast-dark": "white on black",
    "high-contrast-light": "black on white",
}


async def theme_command(shell: "Shell", args: str) -> None:
    name = args.strip()
    if not name:
        picked = await shell.choose("Theme", [Option(theme, about) for theme, about in THEMES.items()])
        if picked is None:
            return
        name = list(THEMES)[picked]
    if name not in THEMES:
        shell.show(f"Usage: `/theme [{'|'.join(THEMES)}]`")
        return
    shown = shell.set_theme(name)
    if shell.agent.remember is not None:
        shell.agent.remember("theme", name)
    own = "" if shown else " What is shown now has the terminal's own colours; the full-screen shell follows it."
    shell.show(f"The theme is now **{name}**.{own}")
