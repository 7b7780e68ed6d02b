"""A small data set for tests of training, made by rule: read a file, say what it holds."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "ReadFile",
            "description": "Read a file.",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
        },
    }
]
WORDS = [
    "ant",
    "bee",
    "cat",
    "dog",
    "elk",
    "fox",
    "gnu",
    "hen",
    "ibis",
    "jay",
    "koi",
    "lark",
    "mole",
    "newt",
    "owl",
    "pig",
]


def system() -> str:
    return "You are kimi. Use the tools."


def conversations(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    rng = Random(seed)
    for number in range(count):
        path, text = f"{rng.choice(WORDS)}.txt", " ".join(rng.choices(WORDS, k=rng.randint(1, 3)))
        function = {"name": "ReadFile", "arguments": json.dumps({"path": path})}
        call = {"id": "functions.ReadFile:0", "type": "function", "function": function}
        yield {
            "id": f"read-{number}",
            "messages": [
                {"role": "system", "content": system()},
                {"role": "user", "content": rng.choice(["Read the file ", "What is in "]) + path},
                {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": call["id"], "content": text},
                {"role": "assistant", "content": f"It says {text}."},
            ],
        }


def write_data(folder: Path, count: int = 60) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tools.json").write_text(json.dumps(TOOLS))
    (folder / "manifest.json").write_text(json.dumps({"episodes": count}))
    for split, lines in (("train-000", conversations(count, 1)), ("held_out", conversations(12, 2))):
        with gzip.open(folder / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    return folder
