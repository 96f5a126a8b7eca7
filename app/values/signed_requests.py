"""What a wallet signs of a request, in RoboCompute's two versions."""

from dataclasses import dataclass

BASE_PATH = "/api/v1"
VERSIONS = (1, 2)


@dataclass(frozen=True, slots=True)
class RequestText:
    """A request as its sender saw it: path and query as they went over the wire, `timestamp` in Unix seconds, as text.
    `nonce` and `body_sha256` (hex) count in version 2 alone."""

    method: str
    path: str
    query: str
    timestamp: str
    nonce: str = ""
    body_sha256: str = ""


def signable(said: RequestText, version: int) -> tuple[bytes, ...]:
    """The messages of which one must be signed.

    Version 1 is RoboCompute's own: method, path below /api/v1 without its query, timestamp. Version 2 is ours; its path may be
    given below /api/v1 or whole, which no two routes share.
    """
    below = _below(said.path)
    if version == 1:
        return (f"{said.method}{below}{said.timestamp}".encode(),)
    paths = dict.fromkeys((below, said.path))
    return tuple(_lines(said, path) for path in paths)


def _lines(said: RequestText, path: str) -> bytes:
    whole = f"{path}?{said.query}" if said.query else path
    return "\n".join((said.method, whole, said.timestamp, said.nonce, said.body_sha256)).encode()


def _below(path: str) -> str:
    """What the reference calls the endpoint; paths of other APIs stay whole."""
    return path.removeprefix(BASE_PATH) if path.startswith(f"{BASE_PATH}/") else path
