"""One websocket of many: what is kept of it while nothing happens, which is little, since there may be ten thousand."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from socket import socket as Socket
from typing import Any, NamedTuple, Protocol

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as Codec
from websockets.protocol import Side, State

COST_BYTES = 16_384
BURST_SECONDS = 4
# What a socket may have sent that nobody has looked at yet: it is read faster than that or not at all.
INBOX_LIMIT, INBOX_BYTES_LIMIT = 256, 4_194_304
_codec_log = logging.getLogger("lightyard.websockets")
_codec_log.setLevel(logging.CRITICAL)  # it tells of every closed socket; ours are counted by reason


class Goodbye(NamedTuple):
    """Why a socket is closed: the code and reason on the wire, and the word in the metrics."""

    code: int
    word: str
    reason: str


GONE = Goodbye(1006, "gone", "the connection broke")
LEFT = Goodbye(1000, "left", "the node closed")
RESTART = Goodbye(1012, "restart", "the hub restarts; connect again")
NOT_TEXT = Goodbye(1003, "not_text", "messages are JSON text")
TOO_BIG = Goodbye(1009, "too_big", "the message is too large")
BROKEN = Goodbye(1002, "broken", "this is no websocket frame")
TOO_MANY = Goodbye(1008, "too_many", "too many messages; send fewer a second")
TOO_SLOW = Goodbye(1008, "slow_reader", "messages are read too slowly; connect again")
GARBAGE = Goodbye(1008, "garbage", "too many messages that can't be understood")
TROUBLE = Goodbye(1011, "trouble", "something went wrong on our side; connect again")
BAD_TOKEN = Goodbye(4001, "bad_token", "Authentication failed")
SILENT = Goodbye(4002, "silent", "Heartbeat timeout")
SUPERSEDED = Goodbye(4003, "superseded", "a newer connection of this node is open")
UNPROVEN = Goodbye(4004, "unproven", "prove this token: another one of this node is proven")
OF_CODE = {goodbye.code: goodbye for goodbye in (TOO_BIG, BROKEN)}


class Owner(Protocol):
    """Whose socket it is. `hear` and `closed` are called one after the other, never side by side for one socket; `pong` is
    called in between and must not wait for anything."""

    def hear(self, text: bytes) -> None: ...

    def pong(self) -> None: ...

    def closed(self, goodbye: Goodbye) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    ping_seconds: float = 30.0
    silence_seconds: float = 90.0
    message_bytes: int = 1_048_576
    messages_per_second: int = 50
    waiting_bytes: int = 262_144


class Line:
    """A socket with its codec. Only the exchange touches it, under its lock; nothing here waits for anything."""

    __slots__ = (
        "socket", "codec", "owner", "heard_at", "cut_at", "goodbye", "outbox", "inbox", "inbox_bytes", "is_taken",
        "is_ending", "is_gone", "is_watched", "bucket", "drained", "_pieces", "_tokens", "_counted_at", "_limits",
    )

    def __init__(self, socket: Socket, owner: Owner, limits: Limits) -> None:
        self.socket, self.owner, self._limits = socket, owner, limits
        self.codec = Codec(Side.SERVER, max_size=limits.message_bytes, logger=_codec_log)
        self.heard_at = self._counted_at = time.monotonic()
        self.cut_at: float | None = None
        self.goodbye: Goodbye | None = None
        self.outbox: bytearray | None = None
        self.inbox: list[Any] | None = None
        self.inbox_bytes = self.drained = self.bucket = 0
        self.is_taken = self.is_ending = self.is_gone = self.is_watched = False
        self._pieces: bytearray | None = None
        self._tokens = float(limits.messages_per_second * BURST_SECONDS)

    def fileno(self) -> int:
        return self.socket.fileno()

    def receive(self, data: bytes, hear: Callable[[bytes], None], pong: Callable[[], None]) -> Goodbye | None:
        """Take in bytes: each whole message to `hear`. Returns why the socket must be closed, if it must."""
        self.codec.receive_data(data)
        for frame in self.codec.events_received():
            assert isinstance(frame, Frame)
            goodbye = self._spend(1 + len(frame.data) // COST_BYTES) or self._take(frame, hear, pong)
            if goodbye is not None:
                return goodbye
        if self.codec.close_rcvd is not None:
            return LEFT
        sent = self.codec.close_sent
        return None if sent is None else OF_CODE.get(int(sent.code), BROKEN)

    def _take(self, frame: Frame, hear: Callable[[bytes], None], pong: Callable[[], None]) -> Goodbye | None:
        if frame.opcode is Opcode.PONG:
            pong()
        elif frame.opcode is Opcode.BINARY:
            return NOT_TEXT
        elif frame.opcode is Opcode.TEXT and frame.fin:
            hear(bytes(frame.data))
        elif frame.opcode is Opcode.TEXT:
            self._pieces = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._pieces is not None:
            self._pieces += frame.data
            if frame.fin:
                pieces, self._pieces = bytes(self._pieces), None
                hear(pieces)
        elif frame.opcode is Opcode.CLOSE:
            return LEFT
        return None

    def _spend(self, cost: int) -> Goodbye | None:
        now = time.monotonic()
        most = self._limits.messages_per_second * BURST_SECONDS
        self._tokens = min(most, self._tokens + (now - self._counted_at) * self._limits.messages_per_second) - cost
        self._counted_at = now
        return TOO_MANY if self._tokens < 0 else None

    @property
    def is_open(self) -> bool:
        return self.cut_at is None and self.codec.state is State.OPEN

    def flush(self) -> bool:
        """Send what the codec has to say, as much as the kernel takes. False for a connection that is broken."""
        for data in self.codec.data_to_send():
            if data == b"":
                self.is_ending = True
            elif self.outbox is not None:
                self.outbox += data
            else:
                self.outbox = bytearray(data)
                if not self.push():
                    return False
        return True

    def push(self) -> bool:
        """Send what waits. False for a connection that is broken."""
        while self.outbox:
            try:
                sent = self.socket.send(self.outbox)
            except BlockingIOError:
                return True
            except OSError:
                return False
            del self.outbox[:sent]
        self.outbox = None
        return True
