"""HTTP with bounds: an answer may be endless, come a byte a second, or unpack to a thousand times its size.

The client library bounds the wait for each read, and neither the whole nor the bytes. So each read is bounded here, below the protocol:
that covers headers, any number of `100 Continue`, redirects and TLS; and what is unpacked is counted as it comes.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpcore2
import httpx2

_bounds = threading.local()  # requests are made, and their answers read, in the thread that asks
_OF_THE_WIRE = {b"content-encoding", b"content-length", b"transfer-encoding"}  # headers that no longer hold once a body is unpacked


class TooLarge(httpx2.DecodingError):
    """More bytes came, or would have been unpacked, than the answer may have."""


@contextmanager
def bounded(seconds: float, size: int) -> Iterator[None]:
    """What this thread sends and receives within the block: at most `size` bytes, packed and unpacked, until `seconds` from now.

    Then httpx2.TimeoutException or TooLarge is raised. Looking up a host's name is left to the system's own limit.
    """
    _bounds.end, _bounds.left, _bounds.size = time.monotonic() + seconds, size + 65_536, size  # headers come on top
    try:
        yield
    finally:
        _bounds.__dict__.clear()


def client(proxy: str | None, timeout: float) -> httpx2.Client:
    """A client whose requests obey `bounded`; `timeout` is in seconds without a byte. A redirect to another host takes no key along."""
    return httpx2.Client(transport=_Transport(proxy), timeout=timeout, follow_redirects=True)


class _Transport(httpx2.HTTPTransport):
    def __init__(self, proxy: str | None):
        super().__init__(proxy=proxy)
        # httpx2 has no argument for it; every kind of pool, direct or through a proxy, opens its connections by this.
        self._pool._network_backend = _Backend(self._pool._network_backend)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        came = super().handle_request(request)
        packed = httpx2.Response(came.status_code, headers=came.headers, stream=came.stream, request=request)
        body = bytearray()
        try:
            for chunk in packed.iter_bytes():  # a megabyte at most, however much it was packed
                body += chunk
                if len(body) > getattr(_bounds, "size", float("inf")):
                    raise TooLarge("the answer is too large")
        finally:
            packed.close()
        headers = [(name, value) for name, value in came.headers.raw if name.lower() not in _OF_THE_WIRE]
        return httpx2.Response(came.status_code, headers=headers, content=bytes(body))


class _Backend(httpcore2.NetworkBackend):
    def __init__(self, own: httpcore2.NetworkBackend):
        self._own = own

    def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        left = _time_left(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._own.connect_tcp(host, port, left, local_address, socket_options))

    def connect_unix_socket(self, path, timeout=None, socket_options=None):
        return _Stream(self._own.connect_unix_socket(path, _time_left(timeout, httpcore2.ConnectTimeout), socket_options))

    def sleep(self, seconds):
        self._own.sleep(seconds)


class _Stream(httpcore2.NetworkStream):
    def __init__(self, own: httpcore2.NetworkStream):
        self._own = own

    def read(self, max_bytes, timeout=None):
        data = self._own.read(max_bytes, _time_left(timeout, httpcore2.ReadTimeout))
        if hasattr(_bounds, "left"):
            _bounds.left -= len(data)
            if _bounds.left < 0:
                raise TooLarge("the answer is too large")
        return data

    def write(self, buffer, timeout=None):
        self._own.write(buffer, _time_left(timeout, httpcore2.WriteTimeout))

    def close(self):
        self._own.close()

    def start_tls(self, ssl_context, server_hostname=None, timeout=None):
        return _Stream(self._own.start_tls(ssl_context, server_hostname, _time_left(timeout, httpcore2.ConnectTimeout)))

    def get_extra_info(self, info):
        return self._own.get_extra_info(info)


def _time_left(timeout: float | None, error: type[Exception]) -> float | None:
    """`timeout`, or what is left until the end of the block if that is less."""
    if not hasattr(_bounds, "end"):
        return timeout
    left = _bounds.end - time.monotonic()
    if left <= 0:
        raise error("the time for the whole answer is over")
    return left if timeout is None else min(timeout, left)
