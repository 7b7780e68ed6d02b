"""A flow as a graph of texts between BEGIN and END. Diagrams are read by flow_mermaid.py and flow_d2.py, runs are in flows.py."""

from collections.abc import Mapping

from msgspec import Struct, field

MAX_SIZE = 5000
"""Mentions of nodes and ways in one diagram; a file of a stranger must not cost the start of a session."""


class Edge(Struct, frozen=True):
    target: str
    label: str = ""


class Flow(Struct, frozen=True):
    """The nodes that can be reached from `begin`, and the ways that leave each, in the order of the diagram.

    A node with several ways has a label on each, all different. A node without any ends the flow as those of `ends` do.
    """

    texts: Mapping[str, str]
    edges: Mapping[str, tuple[Edge, ...]]
    begin: str
    ends: frozenset[str]


def wrong(line: int, text: str) -> ValueError:
    return ValueError(f"line {line}: {text}")


class Drawing(Struct):
    """A graph while its diagram is read, and what is checked when it is complete. `first` is the diagram's first line."""

    first: int
    texts: dict[str, str] = field(default_factory=dict)
    described: set[str] = field(default_factory=set)
    edges: dict[str, list[Edge]] = field(default_factory=dict)
    _lines: dict[str | tuple[str, Edge], int] = field(default_factory=dict)
    _size: int = 0

    def node(self, name: str, line: int, text: str | None = None) -> None:
        """A node, mentioned or described with a text; the last description holds."""
        self._count(line)
        self._lines.setdefault(name, line)
        self.texts.setdefault(name, name)
        self.edges.setdefault(name, [])
        if text:
            self.texts[name] = text
            self.described.add(name)

    def edge(self, source: str, target: str, line: int, label: str = "") -> None:
        self._count(line)
        edge = Edge(target, " ".join(label.split()))
        if (source, edge) not in self._lines:
            self.edges[source].append(edge)
            self._lines[source, edge] = line

    def _count(self, line: int) -> None:
        self._size += 1
        if self._size > MAX_SIZE:
            raise wrong(line, f"the diagram names more than {MAX_SIZE} nodes and ways")

    def flow(self) -> Flow:
        """Raises ValueError that names the line when this is no flow that could run."""
        begin, ends = self._begin(), frozenset(self._called("end"))
        if not ends:
            raise wrong(self.first, "no node has the text END, so the flow has no end")
        reached = self._reached(begin, ends)
        for name in reached:
            if name not in ends:
                self._check(name, begin)
        if not ends & set(reached):
            raise wrong(self._lines[min(ends, key=self._lines.__getitem__)], "no way leads from BEGIN to END")
        if self.edges[begin][0].target in ends:
            raise wrong(self._lines[begin], "there is no step between BEGIN and END")
        edges = {name: () if name in ends else tuple(self.edges[name]) for name in reached}
        return Flow({name: self.texts[name] for name in reached}, edges, begin, ends & set(reached))

    def _begin(self) -> str:
        begins = self._called("begin")
        if not begins:
            raise wrong(self.first, "no node has the text BEGIN, so the flow has no beginning")
        if len(begins) > 1:
            raise wrong(self._lines[begins[1]], f"there is a second BEGIN: {begins[0]} is one already")
        return begins[0]

    def _called(self, text: str) -> list[str]:
        return [name for name, given in self.texts.items() if given.strip().casefold() == text]

    def _reached(self, begin: str, ends: frozenset[str]) -> list[str]:
        """In the order in which the ways lead there."""
        reached, seen = [begin], {begin}
        for name in reached:
            for edge in self.edges[name] if name not in ends else ():
                if edge.target not in seen:
                    seen.add(edge.target)
                    reached.append(edge.target)
        return reached

    def _check(self, name: str, begin: str) -> None:
        ways = self.edges[name]
        if name == begin and len(ways) != 1:
            raise wrong(self._lines[name], f"{len(ways) or 'no'} ways lead on from BEGIN, it must be one")
        if not ways and name not in self.described:
            raise wrong(self._lines[name], f"the node {name} is unknown: it has no text and leads nowhere")
        labels: set[str] = set()
        for way in ways if len(ways) > 1 else ():
            if not way.label:
                text = f"the way from {name} to {way.target} needs a label, as {name} has several ways"
                raise wrong(self._lines[name, way], text)
            if way.label in labels:
                raise wrong(self._lines[name, way], f"two ways from {name} are called {way.label!r}")
            labels.add(way.label)
