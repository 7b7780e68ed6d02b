"""A desktop's clipboard: real programs on PATH that answer as the real ones do."""

import os
from pathlib import Path

from PIL import Image

WL_PASTE = """#!/bin/sh
case "$*" in
    "--type image/png") exec cat "{folder}/picture" 2>/dev/null ;;
    "--no-newline --type text") exec cat "{folder}/text" 2>/dev/null ;;
esac
exit 1
"""
XCLIP = """#!/bin/sh
case "$*" in
    "-selection clipboard -t image/png -o") exec cat "{folder}/picture" 2>/dev/null ;;
    "-selection clipboard -o") exec cat "{folder}/text" 2>/dev/null ;;
esac
echo "Error: target not available" >&2
exit 1
"""
PNGPASTE = """#!/bin/sh
[ "$*" = - ] && exec cat "{folder}/picture" 2>/dev/null
exit 1
"""
PBPASTE = '#!/bin/sh\nexec cat "{folder}/text" 2>/dev/null\n'
OSASCRIPT = """#!/bin/sh
[ "$2" = "get the clipboard as «class PNGf»" ] && [ -f "{folder}/picture" ] || exit 1
printf '«data PNGf%s»\\n' "$(od -An -v -tx1 "{folder}/picture" | tr -d ' \\n' | tr a-f A-F)"
"""
POWERSHELL = """#!/bin/sh
case "$5" in
    *GetImage*) [ ! -f "{folder}/picture" ] || base64 "{folder}/picture" ;;
    "Get-Clipboard -Raw") cat "{folder}/text" 2>/dev/null ;;
esac
"""
WAYLAND = {"WAYLAND_DISPLAY": "wayland-0"}


class Desktop:
    """The programs are in `bin`; `picture` and `text` are what the clipboard holds when they exist."""

    def __init__(self, folder: Path, **programs: str) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self.picture, self.text = folder / "picture", folder / "text"
        for name, script in programs.items():
            self.add(name.replace("_", "-"), script.format(folder=folder))

    def add(self, name: str, script: str) -> None:
        program = self.bin / name
        program.write_text(script)
        program.chmod(0o755)

    def copy_picture(self, picture: Image.Image) -> bytes:
        picture.save(self.picture, "PNG")
        return self.picture.read_bytes()

    def env(self, **more: str) -> dict[str, str]:
        """With these programs and the usual ones."""
        return {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", **more}
