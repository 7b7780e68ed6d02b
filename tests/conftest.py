"""Finding seven thousand tests makes a million objects that stay: they are passed over when garbage is looked for."""

import gc

gc.disable()


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()
