"""The key of a server: from the environment, never from a parameter, and never into a file."""

import os
import re

from aa_utils.errors import InputError
from aa_utils.runner.parameters import SECRET_NAME


def from_environment(variable: str) -> str:
    """The key in the environment variable, "" where none is wanted. Errors: InputError, which never holds what might be a key."""
    if not variable:
        return ""
    if not re.fullmatch(r"[A-Za-z_]\w*", variable) or not SECRET_NAME.search(variable):  # the runner masks variables of such names
        raise InputError("key_variable is the NAME of an environment variable that ends with API_KEY, such as OPENAI_API_KEY, not a key")
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InputError(f"no key in the environment variable '{variable}'; set it, or key_variable='' for a server that wants none")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"what the environment variable '{variable}' holds is no key: it has spaces or letters that no key has")
    return key
