"""What hides keys in what the command line itself writes: exports, logs, reports of faults."""

import logging
import os

from kimi_agent.cli.options import Options
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.redact import Redactor, secret_variables


def redactor_for(options: Options) -> Redactor:
    """Knows the keys of the configuration, as far as it can be read, and of the environment."""
    from kimi_agent.build import redactor_of

    try:
        return redactor_of(options.load())
    except ConfigError:
        return Redactor(secret_variables(os.environ))


class RedactedLines(logging.Formatter):
    """A log without keys: also in the text of errors, which this is the last to see."""

    def __init__(self, redactor: Redactor, form: str) -> None:
        super().__init__(form)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(super().format(record))
