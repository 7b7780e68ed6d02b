"""One list of histories, sent to every provider: what the snapshots hold and what the traps are made of."""

from kimi_agent.core.message import Image, Message, Text, Think, ToolCall, ToolResult, tool_message, user_message
from kimi_agent.core.provider import Request, ToolSpec

PIXEL = Image("iVBORw0KGgo=", "image/png", "pixel.png")
READ = ToolSpec(
    "ReadFile", "Read a file.", {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
)
SEARCH = ToolSpec("$web_search", "", {})
SYSTEM = "You are kimi."


def assistant(*parts: Text | Think | ToolCall) -> Message:
    return Message("assistant", parts, "model")


def call(call_id: str, arguments: str = '{"path": "a.py"}', name: str = "ReadFile") -> ToolCall:
    return ToolCall(call_id, name, arguments)


def calls_with(
    thought: Think | None, call_id: str = "ReadFile:0", arguments: str = '{"path": "a.py"}'
) -> list[Message]:
    parts = (thought,) if thought else ()
    return [user_message("Go"), assistant(*parts, call(call_id, arguments)), tool_message(call_id, "1\tx = 1")]


HISTORIES: dict[str, list[Message]] = {
    "hello": [user_message("Hello, 世界 \u2028 \x00")],
    "blank_user_message": [user_message("Hi"), assistant(Text("Hello")), user_message("  \n"), user_message("again")],
    "image": [user_message("What is this?", (PIXEL,))],
    "image_only": [user_message("", (PIXEL,))],
    "reasoning_content": calls_with(Think("I look.", "reasoning_content")),
    "reasoning": calls_with(Think("I look.", "reasoning")),
    "reasoning_details": calls_with(
        Think(
            "I look.",
            "reasoning_details",
            (
                {"type": "reasoning.text", "text": "I ", "index": 0, "format": "x"},
                {"type": "reasoning.text", "text": "look.", "index": 0, "signature": "sig"},
                {"type": "reasoning.encrypted", "data": "abc", "index": 1, "id": "r1"},
            ),
        )
    ),
    "signed_thinking": calls_with(
        Think("I look.", "thinking", ({"type": "thinking", "thinking": "I look.", "signature": "sig"},))
    ),
    "encrypted_reasoning": calls_with(
        Think("I look.", "reasoning_item", ({"type": "reasoning", "summary": [], "encrypted_content": "abc"},))
    ),
    "thought_signature": calls_with(
        Think("", "extra_content", ({"call": "ReadFile:0", "extra_content": {"google": {"thought_signature": "s"}}},))
    ),
    "no_reasoning": calls_with(None),
    "kimi_ids": [
        user_message("Go"),
        assistant(Text("Both."), call("functions.ReadFile:0"), call("functions.ReadFile:1")),
        tool_message("functions.ReadFile:0", "a"),
        tool_message("functions.ReadFile:1", "b", is_error=True),
        assistant(Text("Done.")),
        user_message("Thanks"),
    ],
    "long_ids": calls_with(None, "x" * 80),
    "blank_text_with_call": [user_message("Go"), assistant(Text(" \n"), call("c1")), tool_message("c1", "")],
    "thinking_only": [user_message("Go"), assistant(Think("I was cut", "reasoning_content")), user_message("go on")],
    "broken_arguments": [
        user_message("Go"),
        assistant(
            call("c1", '{"path": "a'),
            call("c2", "[1]"),
            call("c3", ""),
            call("c4", '{"path": "a\nb"}'),
            call("c5", '{"x": NaN}'),
        ),
        *(tool_message(f"c{n}", "invalid JSON", is_error=True) for n in range(1, 6)),
    ],
    "good_arguments_byte_for_byte": calls_with(None, "c1", '{ "path" :  "\\u00e9\\/é" , "n": 1e2 }'),
    "made_up_tool_names": [
        user_message("Go"),
        assistant(call("c1", "{}", "functions.Read File!"), call("c2", "{}", ""), call("c3", "{}", "$web_search")),
        *(tool_message(f"c{n}", "no such tool") for n in range(1, 4)),
    ],
    "lone_surrogate": [user_message("file \udcff name"), *calls_with(None, "c1", '{"path": "\ud83d"}')[1:]],
    "image_in_results": [
        user_message("Look"),
        assistant(call("c1"), call("c2")),
        Message("tool", (ToolResult("c1", (Text("before"), PIXEL)),), "agent"),
        Message("tool", (ToolResult("c2", (PIXEL,)),), "agent"),
        user_message("steered"),
    ],
}


def request(name: str, thinking: str | None = None) -> Request:
    tools = (READ,) if name != "hello" else (READ, SEARCH)
    return Request("session-1", SYSTEM, HISTORIES[name], tools, 8000, thinking)
