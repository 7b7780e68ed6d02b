"""The process that reads one document: `python -m kimi_documents.child KIND PART`, document on stdin, text on stdout."""

import importlib
import sys

import msgspec

from kimi_agent.tools.isolated import answer
from kimi_documents.part import Part


def read(kind: str, document: bytes, part: Part) -> str:
    """`kind` names the module here that reads it. Raises ToolError."""
    if kind == "pdf":
        from kimi_agent.tools.pdf import pdf_to_text

        return pdf_to_text(document, part.page_range)
    module = importlib.import_module(f"kimi_documents.{kind}")
    return str(module.read(document, part))


if __name__ == "__main__":
    wanted = msgspec.json.decode(sys.argv[2], type=Part)
    sys.exit(answer(lambda document: read(sys.argv[1], document, wanted)))
