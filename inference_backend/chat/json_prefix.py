"""A model's JSON as it streams: only what can still be closed into one valid object comes out.

Strings of values flow through as they come; keys, numbers and the like are held until they are whole. So the text that has come
out, with `closing()` behind it, is a valid JSON object at any moment, whatever the model does. What it writes wrongly inside a
string (a raw line break, an escape that JSON does not know) is put right; at anything else the object ends.
"""

import json
import re

MAX_DEPTH = 128

_SPACE = " \t\r\n"
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_MAX_DIGITS = 4300  # what Python reads as a number
_LITERALS = ("true", "false", "null")
_HEX = frozenset("0123456789abcdefABCDEF")


class JsonPrefix:
    """`feed` gives what may go out, `closing` what is missing behind it."""

    def __init__(self) -> None:
        self.broken = False
        """What was written ceased to be JSON: the rest is left out."""
        self.mended = False
        """Something inside a string was put right, or text behind the object left out."""
        self._stack: list[str] = []
        self._state = (
            "start"  # start, key_or_end, next_key, key, colon, value, value_or_end, string, scalar, after, done
        )
        self._held = ""  # read, but not yet to be let out
        self._key = ""  # the token that is being read: a key, number or literal
        self._escape = ""  # an escape of a string that has begun: a backslash and up to five characters

    @property
    def is_whole(self) -> bool:
        """One object, whole and as it was written (or nothing at all, which some models write for no arguments)."""
        return not self.broken and self._state in ("start", "done")

    @property
    def began(self) -> bool:
        """The object is opened."""
        return self._state != "start"

    def feed(self, text: str) -> str:
        out: list[str] = []
        for char in text:
            if self.broken:
                break
            out.append(self._step(char))
        return "".join(out)

    def closing(self) -> str:
        """What makes the text that came out one valid object."""
        if self._state == "start":
            return "{}"
        end = '"' if self._state == "string" else ""
        return end + "".join("}" if opener == "{" else "]" for opener in reversed(self._stack))

    def _step(self, char: str) -> str:
        state = self._state
        if state == "string":
            return self._in_string(char)
        if state == "key":
            return self._in_key(char)
        if state == "scalar":
            return self._in_scalar(char)
        if char in _SPACE:
            if state in ("start", "done"):
                return ""
            self._held += char
            return ""
        if state in ("value", "value_or_end") and char not in "]}":
            return self._begin_value(char)
        return self._structure(char)

    def _structure(self, char: str) -> str:
        state = self._state
        if state == "done":
            self.mended = True
            return ""
        if state == "start" and char == "{":
            return self._push(char)
        if state in ("key_or_end", "next_key") and char == '"':
            self._state, self._key = "key", char
            return ""
        if state == "colon" and char == ":":
            self._held, self._state = self._held + char, "value"
            return ""
        if state == "after" and char == ",":
            self._held += char
            self._state = "next_key" if self._stack[-1] == "{" else "value"
            return ""
        closes = {"key_or_end": "}", "value_or_end": "]", "after": "}" if self._stack[-1:] == ["{"] else "]"}
        if closes.get(state) == char:
            self._stack.pop()
            self._state = "after" if self._stack else "done"
            return self._let(char)
        return self._break()

    def _begin_value(self, char: str) -> str:
        if char == '"':
            self._state = "string"
            return self._let(char)
        if char in "{[":
            return self._push(char)
        if char in "-0123456789tfn":
            self._state, self._key = "scalar", char
            return ""
        return self._break()

    def _push(self, char: str) -> str:
        if len(self._stack) >= MAX_DEPTH:
            return self._break()
        self._stack.append(char)
        self._state = "key_or_end" if char == "{" else "value_or_end"
        return self._let(char)

    def _in_scalar(self, char: str) -> str:
        if char not in _SPACE + ",]}":
            self._key += char
            literal = any(one.startswith(self._key) for one in _LITERALS)
            number = self._key[0] in "-0123456789" and char in "0123456789.eE+-" and len(self._key) <= _MAX_DIGITS
            return "" if literal or number else self._break()
        if self._key not in _LITERALS and not _NUMBER.fullmatch(self._key):
            return self._break()
        self._state = "after"
        return self._let(self._key) + self._step(char)

    def _in_key(self, char: str) -> str:
        self._key += char
        if char != '"' or (len(self._key) - len(self._key[:-1].rstrip("\\"))) % 2 == 0:
            return ""
        try:
            json.loads(self._key)
        except ValueError:
            return self._break()
        self._held += self._key
        self._state = "colon"
        return ""

    def _in_string(self, char: str) -> str:
        if self._escape:
            return self._in_escape(char)
        if char == "\\":
            self._escape = char
            return ""
        if char == '"':
            self._state = "after"
        elif char < " ":
            self.mended = True
            return json.dumps(char)[1:-1]
        return char

    def _in_escape(self, char: str) -> str:
        begun = self._escape
        if (len(begun) == 1 and char == "u") or (len(begun) > 1 and char in _HEX):
            self._escape += char
            if len(self._escape) < 6:
                return ""
            self._escape = ""
            return begun + char
        self._escape = ""
        if len(begun) == 1 and char in '"\\/bfnrt':
            return begun + char
        self.mended = True  # \d becomes \\d: the backslash that was meant
        return "\\" + begun + self._in_string(char)

    def _let(self, text: str) -> str:
        out, self._held, self._key = self._held + text, "", ""
        return out

    def _break(self) -> str:
        self.broken = True
        return ""
