"""PowerPoint: the text of each slide, its tables, and its notes."""

from collections.abc import Iterable, Iterator
from typing import Any

from kimi_documents.package import checked
from kimi_documents.part import Part, chosen


def read(document: bytes, part: Part) -> str:
    """`[slide N]` stands above each slide; `part.pages` are numbers of slides."""
    from pptx import Presentation

    slides = list(Presentation(checked(document, "ppt/")).slides)
    pieces = [_slide(number, slides[number - 1]) for number in chosen(len(slides), part.page_range, "slide")]
    return "\n\n".join(pieces) or "(the presentation has no slides)"


def _slide(number: int, slide: Any) -> str:
    hidden = " (hidden)" if slide.element.get("show") == "0" else ""
    texts = list(_texts(slide.shapes)) or ["(no text on this slide)"]
    notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
    if notes is not None and notes.text.strip():
        texts.append(f"Notes: {notes.text.strip()}")
    return "\n".join([f"[slide {number}]{hidden}", *texts])


def _texts(shapes: Iterable[Any]) -> Iterator[str]:
    for shape in shapes:
        if hasattr(shape, "shapes"):  # a group
            yield from _texts(shape.shapes)
        elif getattr(shape, "has_table", False):
            yield "[table]"
            for row in shape.table.rows:
                yield " | ".join(" ".join(cell.text.split()) for cell in row.cells)
        elif getattr(shape, "has_chart", False):
            yield from _chart(shape.chart)
        elif shape.has_text_frame and (text := shape.text_frame.text.strip()):
            yield text.replace("\v", "\n")


def _chart(chart: Any) -> Iterator[str]:
    yield f"[chart] {chart.chart_title.text_frame.text if chart.has_title else ''}".rstrip()
    try:
        for plot in chart.plots:
            for series in plot.series:
                values = zip(plot.categories, series.values, strict=False)
                yield f"{series.name}: " + ", ".join(f"{name} {value}" for name, value in values)
    except ValueError:
        yield "(of a kind whose values are not read)"
