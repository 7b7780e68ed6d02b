"""kimi: a terminal coding agent. The import is free of cost; everything heavy is loaded where it is used."""

__version__ = "0.1.0"
