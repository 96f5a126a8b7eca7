"""Results as files: from and to addresses that the API signed. Nothing of the caller's credentials goes there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx

from robocompute.exceptions import NetworkError, NotFoundError, RoboComputeError, VerificationFailedError

CHUNK_BYTES = 256 * 1024
TIMEOUT = httpx.Timeout(60.0)
Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and in all (None where that is unknown)."""


class Arrival:
    """A file that comes in beside its name, and gets it once it is whole and what its hash says."""

    def __init__(self, file: BinaryIO, sha256: str | None, progress: Progress | None) -> None:
        self._file, self._sha256, self._progress = file, sha256, progress
        self._digest, self._size = hashlib.sha256(), 0

    def take(self, chunk: bytes, total: int | None) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)
        self._size += len(chunk)
        if self._progress is not None:
            self._progress(self._size, total)

    def verify(self) -> None:
        found = self._digest.hexdigest()
        if self._sha256 is not None and found != self._sha256.lower():
            details = {"expected": self._sha256, "found": found}
            raise VerificationFailedError("what came is not what the result's hash says", "VERIFICATION_FAILED", details)


@contextmanager
def arriving(path: Path, sha256: str | None, progress: Progress | None) -> Iterator[Arrival]:
    half = path.with_name(path.name + ".part")
    try:
        with half.open("wb") as file:
            arrival = Arrival(file, sha256, progress)
            yield arrival
        arrival.verify()
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


def download(url: str, path: Path, sha256: str | None = None, progress: Progress | None = None) -> None:
    """Whole or not at all. VerificationFailedError where the bytes are not of that hash."""
    try:
        with arriving(path, sha256, progress) as arrival, httpx.stream("GET", url, timeout=TIMEOUT) as response:
            _assert_given(response.status_code)
            for chunk in response.iter_bytes(CHUNK_BYTES):
                arrival.take(chunk, _total(response))
    except httpx.RequestError as error:
        raise _unheard(error) from error


async def download_async(url: str, path: Path, sha256: str | None = None, progress: Progress | None = None) -> None:
    """As `download`."""
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT) as http, http.stream("GET", url) as response:
            _assert_given(response.status_code)
            with arriving(path, sha256, progress) as arrival:
                async for chunk in response.aiter_bytes(CHUNK_BYTES):
                    arrival.take(chunk, _total(response))
    except httpx.RequestError as error:
        raise _unheard(error) from error


def upload(url: str, path: Path, progress: Progress | None = None) -> str:
    """Put a file there; the hex SHA-256 of its bytes, to complete the task with."""
    size, digest = path.stat().st_size, hashlib.sha256()
    try:
        response = httpx.put(
            url, content=_chunks(path, size, digest.update, progress), headers={"Content-Length": str(size)}, timeout=TIMEOUT
        )
    except httpx.RequestError as error:
        raise _unheard(error) from error
    _assert_given(response.status_code)
    return digest.hexdigest()


async def upload_async(url: str, path: Path, progress: Progress | None = None) -> str:
    """As `upload`."""
    size, digest = path.stat().st_size, hashlib.sha256()

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in _chunks(path, size, digest.update, progress):
            yield chunk

    try:
        async with httpx.AsyncClient(timeout=TIMEOUT) as http:
            response = await http.put(url, content=chunks(), headers={"Content-Length": str(size)})
    except httpx.RequestError as error:
        raise _unheard(error) from error
    _assert_given(response.status_code)
    return digest.hexdigest()


def _chunks(path: Path, size: int, note: Callable[[bytes], None], progress: Progress | None) -> Iterator[bytes]:
    sent = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            note(chunk)
            yield chunk
            sent += len(chunk)
            if progress is not None:
                progress(sent, size)


def _total(response: httpx.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() and "Content-Encoding" not in response.headers else None


def _assert_given(status: int) -> None:
    if status in (403, 404, 410):
        raise NotFoundError(f"the file is not there, or its address is too old: ask for a new one (HTTP {status})", status=status)
    if not 200 <= status < 300:
        raise RoboComputeError(f"the file's store answered HTTP {status}", f"HTTP_{status}", status=status)


def _unheard(error: httpx.RequestError) -> NetworkError:
    return NetworkError(f"the file's store did not answer ({type(error).__name__}: {error})")
