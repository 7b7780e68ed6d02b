"""Starts Toad, whose own Python is 3.14, on 3.13 as well: its annotations are left unread there, as 3.14 does by itself, and its
pool of interpreters is one of threads."""

import __future__

import concurrent.futures
import importlib.machinery
import sys
from importlib import import_module
from typing import Any


class Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        flags = __future__.annotations.compiler_flag
        return compile(self.get_data(path), path, "exec", flags=flags, dont_inherit=True)


class Finder:
    @classmethod
    def find_spec(cls, name: str, path: Any, target: Any = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(name, path) if name.partition(".")[0] == "toad" else None
        if spec is not None and spec.origin is not None:
            spec.loader = Loader(name, spec.origin)
        return spec


def adapt() -> None:
    concurrent.futures.InterpreterPoolExecutor = concurrent.futures.ThreadPoolExecutor  # type: ignore[attr-defined]
    sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]
    rpc = vars(import_module("toad.jsonrpc"))  # it evaluates annotations of methods that are elsewhere
    for name, value in vars(import_module("toad.acp.agent")).items():
        rpc.setdefault(name, value)


if __name__ == "__main__":
    if sys.version_info < (3, 14):
        adapt()
    import_module("toad.cli").main()
