"""The one exception for bad input: its message is a sentence for a person (what, which value, the way out)."""


class InputError(ValueError):
    """Bad input. The runner prints the message alone, without a traceback, and exits non-zero."""
