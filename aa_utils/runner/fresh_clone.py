"""A notebook as in a fresh clone: no result of another one, no data, no network. Tests run each so; committed outputs come about so."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMPUTES_NOTHING = "where a notebook is tried"
NO_SERVER = "http://127.0.0.1:9"  # nobody listens there: what would be downloaded fails at once


def environment(folder: str | Path) -> dict[str, str]:
    """Environment variables of a kernel whose artifacts and data are in the empty `folder`."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), NO_SERVER)
    return {"AA_ARTIFACTS": f"{folder}/artifacts", "AA_DATA": f"{folder}/data", "HF_HUB_OFFLINE": "1"} | proxies


@contextmanager
def entered(folder: str | Path) -> Iterator[None]:
    """Kernels that start within have the `environment` of `folder`."""
    before = dict(os.environ)
    os.environ.update(environment(folder))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
