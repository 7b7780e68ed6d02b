"""How several requests become one: in a sentence, or as a list."""

from collections.abc import Mapping, Sequence

from inference_backend.training.synthesis.words import Language

JOINS: Mapping[tuple[Language, bool], Sequence[tuple[str, str, str, str]]] = {
    ("en", False): (
        ("", ", then ", ", then ", ""),
        ("First ", ", then ", ", and finally ", "."),
        ("", ". Then ", ". Then ", "."),
        ("", "; after that ", "; and then ", ""),
        ("First ", ". Then ", ". Finally ", "."),
        ("", " and then ", " and then ", ""),
        ("", "\n", "\n", ""),
        ("Please ", ", ", " and ", ""),
        ("I want three things or so: ", "; ", "; ", "."),
    ),
    ("en", True): (
        ("Begin: ", "; go on: ", "; in the end: ", ""),
        ("", ", next ", ", lastly ", ""),
        ("To do: ", " / ", " / ", ""),
    ),
    ("zh", False): (
        ("先", "，再", "，最后", ""),
        ("", "，然后", "，然后", "。"),
        ("请先", "，接着", "，最后", "。"),
        ("", "。然后", "。最后", "。"),
        ("", "\n", "\n", ""),
        ("", "；之后", "；再", ""),
        ("首先", "，其次", "，最后", ""),
        ("帮我", "，并且", "，并且", ""),
    ),
    ("zh", True): (
        ("第一件事：", "；下一件事：", "；末了：", ""),
        ("", "，完了以后", "，到头来", ""),
        ("待办：", " / ", " / ", ""),
    ),
}
"""What stands before the first request, between, before the last and after it. Those of `True` are held out of training."""
LISTS: Mapping[tuple[Language, bool], Sequence[tuple[str, str]]] = {
    ("en", False): (
        ("", "{}. "),
        ("Please do this:\n", "{}. "),
        ("Do these things one after another:\n", "{}. "),
        ("Steps:\n", "{}) "),
        ("", "- "),
        ("Work through this list:\n", "{}. "),
        ("My list:\n", "- "),
    ),
    ("en", True): (("Here is what I need:\n", "{}: "), ("Tasks for you\n", "* "), ("", "Step {}: ")),
    ("zh", False): (
        ("", "{}. "),
        ("请依次完成：\n", "{}. "),
        ("按顺序做下面的事：\n", "{}. "),
        ("步骤：\n", "{}、"),
        ("", "- "),
        ("照这个清单做：\n", "{}. "),
    ),
    ("zh", True): (("我需要这些：\n", "{}："), ("任务单\n", "* "), ("", "第{}步：")),
}
"""The head of a list, and the mark of each of its lines."""
