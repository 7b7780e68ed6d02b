"""Errors, worded for people: what happened, where, what to do next. They hold strings and numbers only.

EngineError
|-- ModelConfigError    config.json is missing, wrong, or of a model that the engine does not know
|-- CheckpointError     a file of weights is damaged, incomplete, or does not fit its config.json
|-- CapacityError       the model, the context or the request is too large for what there is
|-- RequestError        a request that cannot be answered as it is: the client's mistake (HTTP 400)
`-- TrainingError       data, recipe or state of a training run that do not go together
"""


class EngineError(Exception):
    """Base. `str(error)` is one line for a person; `hint` is what to do next, may be empty."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ModelConfigError(EngineError):
    pass


class CheckpointError(EngineError):
    pass


class CapacityError(EngineError):
    pass


class RequestError(EngineError):
    pass


class TrainingError(EngineError):
    pass
