"""Text from the net as the model reads it: cleaned, cut, and between tags that it cannot close itself."""

import re

from kimi_agent.core.sanitize import plain


def quoted(tag: str, text: str) -> str:
    """`text` between `<tag>` and `</tag>`; what looks like one of them inside it loses its bracket."""
    inside = re.sub(rf"<(?=\s*/?\s*{tag}\b)", "‹", text, flags=re.IGNORECASE)
    return f"<{tag}>\n{inside}\n</{tag}>"


def one_line(text: str, limit: int) -> str:
    """`text` without control sequences and line breaks, at most `limit` characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
