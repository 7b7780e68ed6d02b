"""What servers ask of people: shown, consented to, checked; secrets and odd addresses declined."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mcp_fakes import fake
from mcp_house import call, hosting
from tool_context import Person, make_context, text_of

from kimi_agent.core.ask import Answer, Choice, Chosen, Dismissed
from kimi_agent.core.errors import ToolError
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.eliciting import ANSWER, DECLINE, GO_ON, OPEN, VISIT, Eliciting, refusal
from kimi_agent.mcp.form import LEAVE_OUT, Field, fields_of
from kimi_agent.mcp.host import McpHost

SERVER = Server("acme", "user", "stdio")


def chosen(*answers: str | tuple[str, ...]) -> Chosen:
    return Chosen(tuple((answer,) if isinstance(answer, str) else answer for answer in answers))


async def elicited(person: Person, *opened: Any, **params: Any) -> tuple[str, Any]:
    """Action and content of the answer."""
    opens = opened[0].append if opened else None
    result = await Eliciting(lambda _: person, opens)(SERVER, SimpleNamespace(**{"mode": "form", **params}))
    return result.action, result.content


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [name for name in properties if name != "more"]}


@contextlib.asynccontextmanager
async def asking(tmp_path: Path, *answers: Answer) -> AsyncIterator[tuple[McpHost, Person]]:
    person = Person(answers)
    elicit = Eliciting(lambda _: person)
    async with hosting(tmp_path, {"acme": fake("asks")}, elicit=elicit, finished=elicit.finished) as host:
        yield host, person


async def test_a_form_is_consented_to_filled_in_and_asked_again_where_it_does_not_fit(tmp_path: Path) -> None:
    first = chosen("Ada", "large", "12", "Yes")
    async with asking(tmp_path, chosen(ANSWER), first, chosen("4")) as (host, person):
        said = text_of(await call(host, "mcp__acme__form", make_context(tmp_path)))
        assert "'action': 'accept'" in said
        assert "'content': {'name': 'Ada', 'size': 'large', 'sure': True, 'count': 4}" in said
        consent, form, again = person.questions
        assert "Who are you?" in consent.text
        assert "acme" in consent.items[0].question
        assert [item.header for item in form.items] == ["Your name", "size", "count", "sure"]
        assert form.items[1].options[0].description == "the server's default"
        assert again.items[0].question.startswith("It must be at most 9.")
        assert len(again.items) == 1


@pytest.mark.parametrize(
    ("answers", "action"),
    [
        ([chosen(DECLINE)], "decline"),
        ([Dismissed()], "cancel"),
        ([chosen(ANSWER), Dismissed()], "cancel"),
    ],
)
async def test_a_form_can_be_declined_and_closed(answers: list[Answer], action: str) -> None:
    asked = schema(name={"type": "string"})
    assert await elicited(Person(answers), message="Hi", requested_schema=asked) == (action, None)


@pytest.mark.parametrize(
    "field",
    [
        {"password": {"type": "string"}},
        {"apiKey": {"type": "string"}},
        {"value": {"type": "string", "description": "Your GitHub token"}},
        {"code": {"type": "integer", "title": "PIN"}},
    ],
)
async def test_secrets_are_not_asked_for(field: dict[str, Any]) -> None:
    person = Person([chosen("OK")])
    assert await elicited(person, message="Hi", requested_schema=schema(**field)) == ("decline", None)
    assert "looks like a secret" in person.questions[0].text


def test_what_a_field_takes() -> None:
    def fits(about: dict[str, Any], *answer: str) -> Any:
        return Field("x", about, required=False).value(answer)

    titled = {"type": "string", "oneOf": [{"const": "a", "title": "First"}, {"const": "b", "title": "First"}]}
    assert fits(titled, "First (b)") == "b"
    several = {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 2}
    assert fits(several, "a", "c") == ["a", "c"]
    assert fits({"type": "string", "enum": ["1", "2"], "enumNames": ["one", "two"]}, "two") == "2"
    assert fits({"type": "number"}, "2.5") == 2.5
    assert fits({"type": "boolean"}, "No") is False
    assert fits({"type": "string"}, LEAVE_OUT) is None
    assert fits({"type": "string", "pattern": "(a+)+$"}, "a" * 40 + "!") is not None  # one that takes for ever
    for about, answer, why in (
        (several, "a", "at least 2"),
        ({"type": "integer", "minimum": 1}, "0", "at least 1"),
        ({"type": "integer"}, "1.5", "no whole number"),
        ({"type": "number"}, "nan", "no number"),
        ({"type": "string", "minLength": 3}, "ab", "at least 3 characters"),
        ({"type": "string", "format": "email"}, "ada", "e-mail"),
        ({"type": "string", "format": "date"}, "tomorrow", "date"),
        ({"type": "string", "pattern": "^[a-z]+$"}, "A1", "does not match"),
    ):
        with pytest.raises(ValueError, match=why):
            fits(about, answer)
    with pytest.raises(ValueError, match="needed"):
        Field("x", {"type": "string"}, required=True).value(())
    names = [field.title for field in fields_of({"properties": {"a\x1b[2J\u202eb": {}}})]
    assert names == ["ab"]


async def test_an_address_is_shown_whole_and_opened_after_a_yes() -> None:
    opened: list[str] = []
    url = "https://sign.example/in?state=1"
    person = Person([chosen(OPEN), chosen(VISIT), chosen(DECLINE), Dismissed()])
    actions = [(await elicited(person, opened, mode="url", message="Sign in", url=url))[0] for _ in range(4)]
    assert actions == ["accept", "accept", "decline", "cancel"]
    assert opened == [url]
    assert "**sign.example**" in person.questions[0].text
    assert f"\n{url}\n" in person.questions[0].text
    person = Person([chosen(VISIT)])
    await elicited(person, mode="url", message="Sign in", url="https://xn--pple-43d.example/")
    assert "аpple.example is xn--pple-43d.example" in person.questions[0].text


@pytest.mark.parametrize(
    "url",
    [
        "http://far.example/", "file:///etc/passwd", "javascript:alert(1)", "https://bank.example@evil.example/", "--option",
        "https://[::1", "https://a.example/ x",
    ],
)  # fmt: skip
async def test_odd_addresses_are_never_opened(url: str) -> None:
    opened: list[str] = []
    assert refusal(url)
    assert (await elicited(Person([chosen(OPEN)]), opened, mode="url", message="", url=url))[0] == "decline"
    assert opened == []
    assert refusal("http://127.0.0.1:8000/") == refusal("http://localhost/") == ""


async def test_a_call_that_wants_a_page_visited_is_made_once_more(tmp_path: Path) -> None:
    async with asking(tmp_path, chosen(VISIT), chosen(GO_ON), chosen(DECLINE)) as (host, person):
        with pytest.raises(ToolError, match="Sign in first"):  # the fake refuses for ever
            await call(host, "mcp__acme__url_error", make_context(tmp_path))
        assert [type(question) for question in person.questions] == [Choice, Choice]
        assert "https://example.com/sign-in?a=1" in person.questions[0].text
        with pytest.raises(ToolError, match="wants a page to be visited first, and the user did not"):
            await call(host, "mcp__acme__url_error", make_context(tmp_path))


async def test_where_nobody_is_asked_it_is_declined() -> None:
    result = await Eliciting(lambda _: None)(SERVER, SimpleNamespace(mode="form", message="Hi", requested_schema={}))
    assert (result.action, result.content) == ("decline", None)
