"""Flows: both diagram languages mean the same graph, every mistake is named with its line, and every walk ends or raises."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.agent.flow_d2 import parse_d2
from kimi_agent.agent.flow_graph import Drawing, Flow
from kimi_agent.agent.flow_mermaid import parse_mermaid
from kimi_agent.agent.flows import MAX_ASKED, MAX_MOVES, FlowRun, read_flow
from kimi_agent.agent.skill_files import Places, discover
from kimi_agent.core.errors import SessionError

Ways = dict[str, list[tuple[str, str]]]


def ways(flow: Flow) -> Ways:
    return {name: [(edge.target, edge.label) for edge in edges] for name, edges in flow.edges.items()}


def mermaid(text: str) -> Flow:
    return parse_mermaid(f"flowchart TD\n{text}")


# --- Mermaid ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ("x", "x"),
        ("x[plain]", "plain"), ("x(round)", "round"), ("x([stadium])", "stadium"), ("x[[sub]]", "sub"),
        ("x[(store)]", "store"), ("x((circle))", "circle"), ("x(((twice)))", "twice"), ("x>flag]", "flag"),
        ("x{ask?}", "ask?"), ("x{{six}}", "six"), ("x[/lean/]", "lean"), ("x[\\back\\]", "back"),
        ("x[/wide\\]", "wide"), ("x[\\narrow/]", "narrow"), ("x[/usr/bin is a path]", "/usr/bin is a path"),
        ('x["a [b] | (c) --> d; %% e"]', "a [b] | (c) --> d; %% e"), ('x{"f(x) > 0?"}', "f(x) > 0?"),
        ('x["`**bold**\n   - one\n   - two`"]', "**bold**\n- one\n- two"),
        ("x[one<br/>two<br>three\\nfour]", "one\ntwo\nthree\nfour"),
        ('x["#quot;yes#quot; #35;1"]', '"yes" #1'), ("x[styled]:::big", "styled"), ("x:::big", "x"),
        ('x@{ shape: diamond, label: "what now?" }', "what now?"), ("x@{ shape: rect }", "x"), ("x[提交 申请]", "提交 申请"),
        ('x["say \\"hi\\" [now]"]', 'say "hi" [now]'), ('x["C:\\tmp\\"]', "C:\\tmp\\"), ("x[run [all] of it]", "run [all] of it"),
    ],
)  # fmt: skip
def test_mermaid_nodes_of_every_shape(node: str, text: str):
    assert mermaid(f"BEGIN --> {node} --> END").texts["x"] == text
    assert mermaid(f"BEGIN --> x\n{node}\nx --> END").texts["x"] == text


@pytest.mark.parametrize(
    ("link", "label"),
    [
        ("-->", ""), ("---", ""), ("---->", ""), ("==>", ""), ("===", ""), ("-.->", ""), ("-..->", ""), ("-.-", ""),
        ("--x", ""), ("--o", ""),
        ("e1@-->", ""), ("-->|yes|", "yes"), ("--> | well  done |", "well done"),
        ('-->|"a | b"|', "a | b"), ("-- yes -->", "yes"),
        ("--yes-->", "yes"), ("--ok-->", "ok"), ("-- so so ---", "so so"), ('-- "a --> b" -->', "a --> b"), ("== no ==>", "no"),
        ("-. maybe .->", "maybe"), ("-.->|1|", "1"), ("==>|#35;|", "#"),
    ],
)  # fmt: skip
def test_mermaid_links_of_every_kind(link: str, label: str):
    if label:
        flow = mermaid(f"BEGIN --> x {link} y\ny --> END\nx -->|other| END")
        assert ways(flow)["x"] == [("y", label), ("END", "other")]
    assert ways(mermaid(f"BEGIN --> x {link} y --> END")) == {
        "BEGIN": [("x", "")], "x": [("y", label)], "y": [("END", "")], "END": [],
    }  # fmt: skip


def test_mermaid_without_spaces_chains_groups_and_looks():
    flow = parse_mermaid(
        """---
title: A flow
---
%%{init: {"theme": "dark"}}%%
Graph lr;
  %% a comment
  A([Begin])-->B[one]-->C{two}; C-->|l|D & E-->F-->G([ end ])
  subgraph sub [A box]
    direction TB
    D[left] %% behind a line
  end
  classdef done fill:#f9f,stroke:#333;
  class B,C done
  style F fill:#bbf
  linkStyle 0 stroke:red
  click B "https://example.org"
  C --r--> F
  D ~~~ E
""".replace("C-->|l|D & E", "C-->|l|D; C-->|m|E; D & E")
    )
    assert ways(flow) == {
        "A": [("B", "")], "B": [("C", "")], "C": [("D", "l"), ("E", "m"), ("F", "r")], "D": [("F", "")], "E": [("F", "")],
        "F": [("G", "")], "G": [],
    }  # fmt: skip
    assert flow.texts["D"] == "left"
    assert (flow.begin, flow.ends) == ("A", {"G"})


# --- D2 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x: plain words: and a colon", "plain words: and a colon"),
        ('x: "quoted; {text} # | \\"so\\""', 'quoted; {text} # | "so"'),
        ("x: 'it''s'", "it's"), ("x: say it # not this", "say it"), ("x: issue#12", "issue#12"), ("x: one\\ntwo", "one\ntwo"),
        ("x: a -> b", "a -> b"), ("x: hm {\n  style.fill: '#fff'\n  inner -> other: no\n}", "hm"),
        ("x: { shape: diamond; label: inside }", "inside"), ("x.label: dotted", "dotted"), ("x.shape: circle", "x"),
        ("x: |md\n  # head\n  - a | b\n    - deep\n|", "# head\n- a | b\n  - deep"), ("x: |md one line |", "one line"),
        ("x: ||md\n  | a |\n  |\n||", "| a |\n|"), ("x: |`md\n  a | b\n`|", "a | b"),
        ("x: |md # remark\n  A: B\n| { near: top }", "A: B"),
        ("x: C:\\temp\\x", "C:\\temp\\x"), ("'x': same node", "same node"), ("x: a; y: b", "a"),
        ("x: 'first'\nx: second", "second"),
    ],
)  # fmt: skip
def test_d2_texts_of_every_kind(value: str, text: str):
    assert parse_d2(f"BEGIN -> x -> END\n{value}\n").texts["x"] == text
    assert parse_d2(f"{value}\nBEGIN -> x -> END").texts["x"] == text


def test_d2_arrows_comments_and_looks():
    flow = parse_d2(
        '''# a comment
direction: right
vars: { d2-config: { theme-id: 4 } }
"""
a -> nowhere
"""
BEGIN -> a -> "b c": chain; END <- done
a.style: { stroke: red }
*.style.opacity: 0.5
"b c" -> a: no { style.animated: true }
"b c" -> done: { label: yes }
"b c" --> END: 'may be'
(a -> "b c")[0].style.stroke: blue
unused
'''
    )
    assert ways(flow) == {
        "BEGIN": [("a", "chain")], "a": [("b c", "chain")], "b c": [("a", "no"), ("done", "yes"), ("END", "may be")],
        "done": [("END", "")], "END": [],
    }  # fmt: skip


# --- the graph --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a --> END", 1, "no node has the text BEGIN"),
        ("BEGIN --> a --> a", 1, "no node has the text END"),
        ("BEGIN --> a[x]\nEND", 3, "no way leads from BEGIN to END"),
        ("BEGIN --> a --> END\nb([BEGIN]) --> a", 3, "a second BEGIN"),
        ("BEGIN --> a --> END\nBEGIN --> b --> END", 2, "2 ways lead on from BEGIN"),
        ("BEGIN\nEND", 2, "no ways lead on from BEGIN"),
        ("BEGIN --> END", 2, "no step between"),
        ("BEGIN --> a\na -->|yes| END\na --> b[x]\nb --> a", 4, "from a to b needs a label"),
        ("BEGIN --> a\na -->|yes| END\na -->|yes| b[x]", 4, "called 'yes'"),
        ("BEGIN --> a\na -->|yes| END\na -->|no| Ende", 4, "the node Ende is unknown"),
        ("BEGIN --> a --> END\n\na <--> b", 4, "one way"),
        ("BEGIN --> a[open\na --> END", 2, "not closed"),
        ("BEGIN --> a[f] is] --> END", 2, "double quotes"),
        ("BEGIN --> a -->\n\n! --> END", 4, "a node was expected"),
    ],
)
def test_mistakes_in_mermaid_are_named_with_their_line(text: str, line: int, reason: str):
    with pytest.raises(ValueError) as caught:
        mermaid(text)
    assert str(caught.value).startswith(f"line {line}: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a -> END", 1, "BEGIN"),
        ("BEGIN -> a\na: x\nEND", 3, "no way leads"),
        ("BEGIN -> a -> END\n\na -- END", 3, "write ->"),
        ("BEGIN -> a -> END\na <-> END", 2, "write ->"),
        ("BEGIN -> a -> END\na: |md\n  no end\n", 2, "not closed"),
        ("BEGIN -> a -> END\na: {\n  b: { }\n", 2, "brace is not closed"),
        ('BEGIN -> a -> END\na: "x" y', 2, "cannot read 'y'"),
        ("BEGIN -> a -> END\na -> : no", 2, "a node was expected"),
        ("BEGIN -> a -> END\n}", 2, "a node was expected"),
        ("BEGIN -> a -> END: y\na -> b: z\nb -> c", 3, "the node c is unknown"),
    ],
)
def test_mistakes_in_d2_are_named_with_their_line(text: str, line: int, reason: str):
    with pytest.raises(ValueError) as caught:
        parse_d2(text)
    assert str(caught.value).startswith(f"line {line}: ")
    assert reason in str(caught.value)


def test_the_line_is_that_of_the_file_and_the_first_block_counts():
    head = "---\r\ntype: flow\r\n---\r\ntext\r\n"
    good = f"{head}```python\r\nx\r\n```\r\n  ~~~D2\r\nBEGIN -> a -> END\r\n  ~~~\r\n```mermaid\r\nnothing\r\n```\r\n"
    assert ways(read_flow(good))["a"] == [("END", "")]
    with pytest.raises(ValueError, match="line 7: cannot read"):
        read_flow(f"{head}```mermaid\r\ngraph TD\r\nBEGIN -> a\r\n```\r\n")
    with pytest.raises(ValueError, match="line 5: the d2 block has no end"):
        read_flow(f"{head}```d2\r\nBEGIN -> a -> END\r\n")
    with pytest.raises(ValueError, match="neither"):
        read_flow(head)


@given(st.text(max_size=60) | st.text("BEGINDab->|[]{}(\"'`;:#%\n\\ ", max_size=60))
def test_any_text_is_a_flow_or_a_mistake_with_a_line(text: str):
    for parse in (parse_mermaid, parse_d2):
        try:
            parse(f"BEGIN\n{text}", 7)
        except ValueError as error:
            assert str(error).startswith("line ")  # noqa: PT017


@pytest.mark.parametrize(
    ("parse", "text", "reason"),
    [
        (parse_mermaid, "a --" + " " * 100_000 + "x", "cannot read"),
        (parse_mermaid, "a -. " + "." * 100_000, "cannot read"),
        (parse_mermaid, "a & " * 30_000 + "a --> b", "names more than"),
        (parse_mermaid, "&".join(["a"] * 2000) + " --> " + "&".join(["b"] * 2000), "names more than"),
        (parse_d2, "a: {" * 30_000, "are nested"),
        (parse_d2, "BEGIN" + " -> a" * 20_000, "names more than"),
    ],
)
def test_a_hostile_diagram_is_refused_before_it_costs_anything(parse: Callable[[str], Flow], text: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        parse(text)


# --- random graphs ----------------------------------------------------------------------------------------------------

WORDS = st.text("abcäß 提案?!()[]{}|#;:->%.,'", min_size=1, max_size=20).map(str.strip).filter(bool)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, str], Ways]:
    """Texts and ways of a flow whose steps may lead anywhere; each leads on to the next one, so that END can be reached."""
    names = [f"n{number}" for number in range(draw(st.integers(1, 6)))]
    texts = {name: draw(WORDS) for name in names} | {"b": "BEGIN", "e": "END"}
    edges: Ways = {"b": [(names[0], "")], "e": []}
    for name, following in zip(names, [*names[1:], "e"], strict=True):
        targets = [following, *draw(st.lists(st.sampled_from([*names, "e"]), max_size=3))]
        labels = draw(st.lists(WORDS.map(lambda w: " ".join(w.split())), min_size=4, max_size=4, unique=True))
        edges[name] = (
            [(t, label) for t, label in zip(targets, labels, strict=False)] if targets[1:] else [(following, "")]
        )
    return texts, edges


def as_mermaid(texts: dict[str, str], edges: Ways) -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace("#", "#35;") + '"'

    shapes = ("[%s]", "(%s)", "{%s}", "([%s])")
    lines = [name + shapes[number % 4] % quoted(text) for number, (name, text) in enumerate(texts.items())]
    for name, out in edges.items():
        lines += [f"{name} -->|{quoted(label)}| {target}" if label else f"{name} --> {target}" for target, label in out]
    return "\n".join(["flowchart LR", *lines])


def as_d2(texts: dict[str, str], edges: Ways) -> str:
    lines = [f'{name}: "{text}"' for name, text in texts.items()]
    for name, out in edges.items():
        lines += [f'{name} -> {target}: "{label}"' if label else f"{name} -> {target}" for target, label in out]
    return "\n".join(lines)


@given(graphs())
def test_both_languages_print_the_same_flow(graph: tuple[dict[str, str], Ways]):
    texts, edges = graph
    one, other = parse_mermaid(as_mermaid(texts, edges)), parse_d2(as_d2(texts, edges))
    assert one == other
    assert (one.begin, one.ends) == ("b", {"e"})
    assert ways(one) == edges
    assert dict(one.texts) == texts


@given(graphs(), st.lists(st.integers(0, 4), max_size=40))
def test_every_walk_ends_or_raises(graph: tuple[dict[str, str], Ways], choices: list[int]):
    """`choices` name the way, or none where there is no such way; when they are used up the first way is taken."""
    texts, edges = graph
    run = FlowRun(parse_d2(as_d2(texts, edges)), "walk")
    at, text, turns, rest = edges["b"][0][0], run.start(""), 1, list(choices)
    try:
        while text is not None:
            out = edges[at]
            assert text.startswith((texts[at], "Your answer chose none"))
            pick = rest.pop() if rest else 0
            chosen = pick < len(out)
            text = run.next(f"<choice>{out[pick][1]}</choice>" if chosen else "I do not know.")
            if chosen or len(out) == 1:
                at = out[pick if chosen else 0][0]
            turns += 1
            assert turns <= len(choices) + len(texts) + 1
        assert at == "e"
    except SessionError as error:
        assert "chose none of" in str(error)  # noqa: PT017


# --- walking ----------------------------------------------------------------------------------------------------------


def walk(diagram: str, names: tuple[str, ...] = ()) -> FlowRun:
    return FlowRun(mermaid(diagram), "walk", names, "/skills/walk")


def test_a_decision_is_asked_for_again_and_then_given_up():
    run = walk("BEGIN --> a{What now?}\na -->|Go on| END\na -->|Back to it| a")
    assert run.start("").endswith("\n<choice>Go on</choice>\n<choice>Back to it</choice>")
    assert run.next("<choice>Something</choice>").startswith("Your answer chose none")
    assert run.next("<choice>Go on</choice>, or rather <choice> back  TO it\n</choice>").startswith("What now?")
    for _ in range(MAX_ASKED - 1):
        assert "<choice>Go on</choice>" in run.next("choice>Go on</choice>")
    with pytest.raises(SessionError, match="chose none of Go on, Back to it"):
        run.next("")


def test_letter_case_decides_where_labels_differ_in_nothing_else():
    for label, text in (("YES", "big"), ("yes", "small"), ("Yes", "big")):
        run = walk("BEGIN --> a\na -->|YES| b[big] --> END\na -->|yes| c[small] --> END")
        run.start("")
        assert run.next(f"<choice>{label}</choice>") == text


def test_a_circle_ends_after_a_thousand_moves():
    run = walk("BEGIN --> a --> b\nb -->|on| BEGIN\nb -->|out| END")
    run.start("")
    for _ in range((MAX_MOVES - 3) // 3 * 2 + 1):  # two turns and three moves a round, BEGIN is one of them
        assert run.next("<choice>on</choice>") is not None
    with pytest.raises(SessionError, match=f"after {MAX_MOVES} moves"):
        run.next("<choice>on</choice>")


def test_arguments_are_placed_in_every_step_or_put_below_the_first():
    run = walk(
        "BEGIN --> a[Look at $1] --> b[Mend $what in ${KIMI_SKILL_DIR}] --> c[Rest: $ARGUMENTS] --> END", ("what",)
    )
    texts = [run.start(" src 'and so' "), run.next(""), run.next("")]
    assert texts == ["Look at src", "Mend src in /skills/walk", "Rest: src 'and so'"]
    assert run.next("") is None
    assert run.next("") is None
    run = walk("BEGIN --> a[One] --> b[Two] --> END")
    assert [run.start("with care"), run.next("")] == ["One\n\nARGUMENTS: with care", "Two"]


def test_a_step_without_a_way_on_ends_the_flow_and_there_may_be_several_ends():
    run = walk("BEGIN --> a\na -->|stop| s[Say why you stop]\na -->|done| END\na -->|half| z([End])")
    run.start("")
    assert run.next("<choice>stop</choice>") == "Say why you stop"
    assert run.next("because") is None
    run = walk("BEGIN --> a\na -->|done| END\na -->|half| z([End])")
    run.start("")
    assert run.next("<choice>half</choice>") is None


def test_the_same_way_drawn_twice_is_one():
    drawing = Drawing(1)
    for name in ("BEGIN", "a", "END"):
        drawing.node(name, 1)
    for source, target in (("BEGIN", "a"), ("a", "END"), ("a", "END")):
        drawing.edge(source, target, 1)
    assert ways(drawing.flow())["a"] == [("END", "")]


# --- in a library -----------------------------------------------------------------------------------------------------


def test_a_flow_is_called_by_its_own_name(tmp_path: Path):
    for name, text in (
        ("skills/Ship.md", "---\ntype: flow\n---\nShip it.\n```d2\nBEGIN -> a -> END\n```"),
        ("skills/plain.md", "No flow."),
        ("skills/hidden.md", "---\ntype: flow\nuser-invocable: false\n---\n```d2\nBEGIN -> a -> END\n```"),
        ("commands/flow/plain.md", "A command in a group that is called flow."),
        ("commands/flow/ship.md", "Another, which the flow comes before."),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    library = discover(tmp_path / "none", Places(tmp_path, tmp_path / "user"))
    assert set(library.for_person()) == {"skill:Ship", "flow:Ship", "Ship", "skill:plain", "plain", "flow:plain"}
    assert library.script("/FLOW:ship it\nnow").start("it") == "a\n\nARGUMENTS: it"
    assert library.find("/flow:ship it\nnow")[1] == "it\nnow"
    for text in ("/ship", "/skill:ship", "/flow:plain", "/flow:none", "/flow:hidden", "flow:ship", "/plain", ""):
        assert library.script(text) is None
    assert "group that is called flow" in library.expand("/flow:plain")
    assert not library.broken
    (tmp_path / "skills/Ship.md").unlink()
    with pytest.raises(SessionError, match="cannot be read"):
        library.script("/flow:ship")
