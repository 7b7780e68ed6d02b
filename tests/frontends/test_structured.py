"""`--json-schema`: the answer is the JSON value, or the exit code says that it is not."""

import io
import json

import pytest
from fakes import FakeAgent, FakeSession, Script, says
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.exit import ExitCode
from kimi_agent.frontends.print import PrintFrontend
from kimi_agent.frontends.stdio import Output
from kimi_agent.frontends.structured import StructuredAnswer

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


async def run(
    *scripts: Script, schema: dict[str, object] = SCHEMA, output: str = "text"
) -> tuple[int, str, str, FakeSession]:
    out, err = io.BytesIO(), io.StringIO()
    agent = FakeAgent(*scripts)
    frontend = PrintFrontend("count", schema=schema, output=output, stdout=Output(out), stderr=err)  # type: ignore[arg-type]
    code = await frontend.run(agent)
    return code, out.getvalue().decode(), err.getvalue(), next(iter(agent.sessions.values()))


@pytest.mark.parametrize(
    "answer",
    [
        '{"n": 3}',
        ' \n{\n"n": 3}\n',
        'Here it is:\n\n```json\n{"n": 3}\n```\n',
        'First\n```\n{"n": 1}\n```\nno, rather\n~~~JSON\n{"n": 3}\n~~~',
        '````\n{"n": 3}\n````',
    ],
)
async def test_the_value_is_found(answer: str) -> None:
    code, out, err, session = await run(says(answer))
    assert (code, out, err) == (0, '{"n":3}\n', "")
    assert json.dumps(SCHEMA) in session.prompts[0]


async def test_a_wrong_answer_is_asked_for_again_with_the_errors() -> None:
    code, out, _, session = await run(says('{"n": "three"}'), says("sorry"), says('{"n": 3}'))
    assert (code, out) == (0, '{"n":3}\n')
    assert "$.n: 'three' is not of type 'integer'" in session.prompts[1]
    assert "not JSON" in session.prompts[2]


async def test_three_wrong_answers_end_it() -> None:
    code, out, err, session = await run(says("[]"))
    assert (code, out) == (ExitCode.SCHEMA, "")
    assert len(session.prompts) == 3
    assert "is not of type 'object'" in err


async def test_json_output_has_it_beside_the_text() -> None:
    _, out, _, _ = await run(says('```\n{"n": 3}\n```'), output="json")
    result = json.loads(out)
    assert result["structured"] == {"n": 3}
    assert "```" in result["result"]


async def test_null_is_a_value() -> None:
    code, out, _, _ = await run(says("null"), schema={"type": "null"})
    assert (code, out) == (0, "null\n")


async def test_a_wrong_schema_is_a_usage_error() -> None:
    frontend = PrintFrontend("x", schema={"type": "nonsense"}, stdout=Output(io.BytesIO()), stderr=io.StringIO())
    assert await frontend.run(FakeAgent(says("x"))) == ExitCode.USAGE
    with pytest.raises(ConfigError, match="wrong at"):
        StructuredAnswer({"properties": 3})


def test_nothing_is_fetched_for_a_remote_reference() -> None:
    answer = StructuredAnswer({"$ref": "http://127.0.0.1:9/schema.json"})
    assert answer.check("1") == (None, ["The schema refers to 'http://127.0.0.1:9/schema.json', which is not in it."])


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "[-1e999]", "[" * 100_000])
def test_what_json_cannot_carry_is_no_answer(text: str) -> None:
    assert StructuredAnswer({}).check(text)[1]


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}])
def test_a_schema_that_refers_to_itself_is_refused_before_anything_is_asked(schema: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="refers to itself"):
        StructuredAnswer(schema)


def test_a_schema_may_be_recursive() -> None:
    tree = StructuredAnswer({"type": "object", "additionalProperties": {"$ref": "#"}})
    assert tree.check('{"a": {"b": {}}}') == ({"a": {"b": {}}}, [])


@pytest.mark.parametrize("output", ["text", "json"])
async def test_any_json_value_is_printed(output: str) -> None:
    answer = '["\\ud800", 123456789012345678901234567890, "世"]'
    code, out, _, _ = await run(says(answer), schema={"type": "array"}, output=output)
    value = json.loads(out)
    assert code == ExitCode.DONE
    assert (value if output == "text" else value["structured"]) == json.loads(answer)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES, st.booleans())
def test_every_value_survives_bare_and_fenced(value: object, fenced: bool) -> None:
    text = json.dumps(value, indent=1)
    found, errors = StructuredAnswer({}).check(f"So:\n```json\n{text}\n```\nDone." if fenced else text)
    assert (found, errors) == (value, [])
