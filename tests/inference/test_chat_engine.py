"""Grammar, engine and parser together: calls of a model that knows nothing are valid, and the same tokens whatever else runs."""

import json

import jsonschema
from inference_chat_house import reply, tiny_tokenizer
from inference_engine_house import HashRunner, alone, engine_of, finish
from inference_schemas import closed

from inference_backend.chat.grammar import GrammarCompiler
from inference_backend.chat.parser import STOPS, StreamParser
from inference_backend.chat.render import render
from inference_backend.chat.template import TEMPLATES
from inference_backend.engine.request import Request, SamplingParams

TOKENIZER = tiny_tokenizer()
ENDS = frozenset(TOKENIZER.special[name] for name in STOPS)
SCHEMAS = [
    closed(
        "path", path={"enum": ["src/main.py", "src/model.py"]}, limit={"type": "integer", "minimum": 1, "maximum": 99}
    ),
    closed(
        "edits", edits={"type": "array", "items": closed("old", old={"type": "string", "maxLength": 6}), "maxItems": 2}
    ),
    closed("a", a={"anyOf": [{"type": "null"}, {"const": {"deep": [True]}}]}, b={"type": "boolean"}),
]


def wish(compiler, nth):
    """A request that must call one tool, its grammar, and what the parser needs."""
    tools = [{"type": "function", "function": {"name": f"tool_{nth}", "parameters": SCHEMAS[nth % len(SCHEMAS)]}}]
    template = TEMPLATES["k2.6"]
    prompt = render(
        [{"role": "user", "content": f"go {nth}"}], tools, tokenizer=TOKENIZER, template=template, thinking=False
    )
    grammar = compiler.grammar(tools, tool_choice="required", parallel=False, next_tool_index=nth)
    return prompt.tokens, grammar


def test_many_at_once_with_forced_tokens_and_drafts_as_one_alone_by_masks():
    compiler = GrammarCompiler(TOKENIZER)
    params = [SamplingParams(seed=n, max_tokens=400, stop_tokens=ENDS, ignore_end=True) for n in range(9)]
    runner = HashRunner(4096, vocab_size=TOKENIZER.vocab_size)
    engine = engine_of(runner)
    requests = []
    for nth in range(9):
        prompt, grammar = wish(compiler, nth)
        draft = TOKENIZER.encode('{"path":"src/main.py","limit":7}')
        requests.append(Request(str(nth), prompt, params[nth], constraint=grammar, drafts=[draft]))
    answers = finish(engine, requests)
    for nth in range(9):
        prompt, grammar = wish(compiler, nth)
        single = alone(HashRunner(512, vocab_size=TOKENIZER.vocab_size), prompt, params[nth], constraint=grammar)
        assert answers[str(nth)].tokens == single
        parser = StreamParser(TOKENIZER, names=[f"tool_{nth}"], next_tool_index=nth)
        made = reply([piece for token in single for piece in parser.feed(token)] + parser.end())
        assert [(one["id"], made["complete"]) for one in made["calls"]] == [(f"functions.tool_{nth}:{nth}", [True])]
        jsonschema.validate(json.loads(made["calls"][0]["arguments"]), SCHEMAS[nth % len(SCHEMAS)])
    assert sum(len(answer.tokens) for answer in answers.values()) > runner.steps  # forced tokens took no steps
