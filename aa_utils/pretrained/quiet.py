"""diffusers and transformers without their loading bars and advice."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """No loading bars, no advice: notebook outputs stay the same on every run. What is wrong with a model is said by `whole`."""
    import diffusers
    import transformers

    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    levels = [logger.level for logger in loggers]
    bars = [logs for logs in (diffusers.utils.logging, transformers.utils.logging) if logs.is_progress_bar_enabled()]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    for logs in bars:
        logs.disable_progress_bar()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for logs in bars:
            logs.enable_progress_bar()
