"""The loop over epoll and ordinary sockets: works on every kernel; one file descriptor per connection.

Every socket is registered once, edge-triggered, for reading and writing together, so a connection costs one
epoll_ctl(2) in its life. The kernel reports an edge only once, so it is remembered: that data can be read, until a read
returns less than the buffer holds; and the end of the connection, for good (epoll(7), questions and answers).
"""

import errno
import os
import select
import socket
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.cost import FILES_RESERVED
from fourtuple.core.space.endpoints import FourTuple, unpack_address
from fourtuple.core.space.tuples import Block
from fourtuple.core.space.unix import UnixBlock
from fourtuple.engine.loops.contract import COMPLETION, Completions, First, How, Op, Slots, Targets
from fourtuple.engine.loops.room import MOST_EPOLL_SLOTS
from fourtuple.engine.loops.sockets import family_of, options_of
from fourtuple.engine.states import Pending
from fourtuple.kernel import addresses, process, sockopts

_EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_BROKEN = select.EPOLLERR | select.EPOLLHUP
_OVER = select.EPOLLRDHUP | _BROKEN
EVENTS_AT_ONCE = 4096
ACCEPTS_AT_ONCE = 256  # then completions are returned, so that greetings do not wait for a burst of connects to end


class EpollLoop:
    name = "epoll"
    links = False
    batch = 32  # about a millisecond of work, which bounds the error of measured durations

    def __init__(self, capacity: int | None = None) -> None:
        """Create the loop.

        capacity: number of slots; None: as many as the soft RLIMIT_NOFILE leaves this process, at most MOST_EPOLL_SLOTS
        """
        files = process.read_files()
        room = files.soft - files.open - FILES_RESERVED // 2
        self.capacity = max(0, min(MOST_EPOLL_SLOTS if capacity is None else capacity, room))
        self._epoll = select.epoll()
        self._sockets: list[socket.socket | None] = [None] * self.capacity
        self._empty: list[int] = []  # for accept: the loop chooses the slot
        self._slot_of: dict[int, int] = {}  # by descriptor
        self._readable = bytearray(self.capacity)
        self._connecting = bytearray(self.capacity)
        self._watching = bytearray(self.capacity)
        self._sending: dict[int, tuple[memoryview, int]] = {}  # the rest to send, and how many bytes were sent before
        self._listeners: dict[int, socket.socket] = {}
        self._waiting: set[int] = set()  # listeners that may have more connections in their queue
        self._armed = False
        self._room = 0
        self._done: list[tuple[int, int, int]] = []
        self._hosts: dict[bytes, str] = {}

    # Starting

    def connect(self, slots: Slots, block: Targets, how: How, first: First | None = None) -> None:
        names = self._names_of(block)
        sources = self._sources_of(block) if how.bind and isinstance(block, Block) else None
        options = options_of(block, how)
        for row, slot in enumerate(slots.tolist()):
            try:
                sock = sockopts.prepared(family_of(block), options, sources[row] if sources else None)
            except OSError as error:
                self._done.append((Op.CONNECT, slot, -(error.errno or errno.EIO)))
                continue
            try:
                result = sock.connect_ex(names[row])
                if result not in (0, errno.EINPROGRESS):
                    raise OSError(result, os.strerror(result))
                self._register(slot, sock)
            except OSError as error:
                sock.close()
                self._done.append((Op.CONNECT, slot, -(error.errno or errno.EIO)))
                continue
            self._connecting[slot] = 1

    def listen(self, listeners: Sequence[socket.socket]) -> None:
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._empty = list(range(self.capacity))[::-1]

    def accept(self, room: int) -> None:
        self._room = min(room, len(self._empty))
        self._arm(self._room > 0)

    def watch(self, slots: Slots) -> None:
        for slot in slots.tolist():
            if self._readable[slot]:
                self._done.append((Op.WATCH, slot, 0))
            else:
                self._watching[slot] = 1

    def receive(self, slots: Slots, buffers: NDArray[np.uint8]) -> NDArray[np.int32]:
        size, results = buffers.shape[1], np.zeros(len(slots), np.int32)
        for row, slot in enumerate(slots.tolist()):
            sock = self._sockets[slot]
            assert sock is not None, f"slot {slot} is empty"  # noqa: S101  (a mistake of the caller)
            try:
                result = sock.recv_into(buffers[row].data)
                if result < size:
                    self._readable[slot] &= Pending.END
            except OSError as error:
                result = -(error.errno or errno.EIO)
                if result == -errno.EAGAIN:
                    self._readable[slot] &= Pending.END
            results[row] = result
        return results

    def send(self, slots: Slots, buffers: NDArray[np.uint8], rows: NDArray[np.intp], sizes: NDArray[np.int64]) -> None:
        for slot, row, size in zip(slots.tolist(), rows.tolist(), sizes.tolist(), strict=True):
            self._send(slot, buffers[row].data[:size], 0)

    def close(self, slots: Slots, reset: bool) -> None:
        if self._done:
            closed = set(slots.tolist())
            self._done = [entry for entry in self._done if entry[1] not in closed]
        for slot in slots.tolist():
            sock = self._sockets[slot]
            if sock is not None:
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, sockopts.LINGER_RESET)
                self._drop(slot)
            self._done.append((Op.CLOSE, slot, 0))

    def describe(self, slot: int) -> FourTuple | None:
        sock = self._sockets[slot]
        return addresses.ends_of(sock) if sock else None

    def handshake_us(self, slot: int) -> int | None:
        sock = self._sockets[slot]
        return sockopts.rtt_us(sock) if sock else None

    def cookies(self, slots: Slots) -> NDArray[np.uint64]:
        return np.array([sockopts.cookie_of(self._sockets[slot]) for slot in slots.tolist()], np.uint64)

    # Finishing

    def wait(self, timeout_s: float) -> Completions:
        if self._done or (self._waiting and self._room):
            timeout_s = 0
        for descriptor, events in self._epoll.poll(timeout_s, EVENTS_AT_ONCE):
            slot = self._slot_of.get(descriptor)
            if slot is not None:
                self._progress(slot, events)
            elif descriptor in self._listeners:
                self._waiting.add(descriptor)
        for descriptor in list(self._waiting):
            self._accept_some(self._listeners[descriptor])
        done = np.array(self._done, COMPLETION)
        self._done.clear()
        return done

    def shut(self) -> None:
        self._epoll.close()
        for sock in self._sockets:
            if sock is not None:
                sock.close()
        self._sockets.clear()

    def _progress(self, slot: int, events: int) -> None:
        if self._connecting[slot]:
            self._connecting[slot] = 0
            sock = self._sockets[slot]
            # SO_ERROR has the result of connect() (connect(2)); without an error flag it succeeded.
            result = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if events & _BROKEN and sock else 0
            if result:
                self._drop(slot)
            self._done.append((Op.CONNECT, slot, -result))
            if result:
                return
        if events & (select.EPOLLIN | _OVER):
            self._readable[slot] |= (Pending.DATA if events & select.EPOLLIN else 0) | (
                Pending.END if events & _OVER else 0
            )
            if self._watching[slot]:
                self._watching[slot] = 0
                self._done.append((Op.WATCH, slot, 0))
        if events & (select.EPOLLOUT | _BROKEN) and slot in self._sending:
            self._send(slot, *self._sending.pop(slot))

    def _accept_some(self, listener: socket.socket) -> None:
        for _ in range(min(self._room, ACCEPTS_AT_ONCE)):
            try:
                sock, _ = listener.accept()
                sock.setblocking(False)
            except BlockingIOError:
                self._waiting.discard(listener.fileno())
                return
            except OSError as error:
                self._waiting.discard(listener.fileno())
                self._done.append((Op.ACCEPT, -1, -(error.errno or errno.EIO)))
                return
            slot = self._empty.pop()
            try:
                self._register(slot, sock)
            except OSError as error:  # ENOSPC: max_user_watches
                sock.close()
                self._empty.append(slot)
                self._done.append((Op.ACCEPT, -1, -(error.errno or errno.EIO)))
                return
            self._room -= 1
            self._done.append((Op.ACCEPT, slot, 0))
        if not self._room:
            self._arm(False)

    def _send(self, slot: int, rest: memoryview, sent: int) -> None:
        sock = self._sockets[slot]
        assert sock is not None, f"slot {slot} is empty"  # noqa: S101  (a mistake of the caller)
        try:
            while rest:
                count = sock.send(rest)
                rest, sent = rest[count:], sent + count
        except BlockingIOError:
            self._sending[slot] = (rest, sent)
            return
        except OSError as error:
            sent = -(error.errno or errno.EIO)
        self._done.append((Op.SEND, slot, sent))

    # Slots

    def _arm(self, armed: bool) -> None:
        """Start or stop polling the listeners: a full process must not be woken for connections it cannot accept."""
        if armed == self._armed:
            return
        self._armed = armed
        self._waiting.clear()
        for listener in self._listeners.values():
            if armed:
                # Several processes poll the same listener; EPOLLEXCLUSIVE avoids waking all of them (epoll_ctl(2)).
                self._epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            else:
                self._epoll.unregister(listener)

    def _register(self, slot: int, sock: socket.socket) -> None:
        self._epoll.register(sock, _EDGES)
        self._sockets[slot] = sock
        self._slot_of[sock.fileno()] = slot

    def _drop(self, slot: int) -> None:
        sock = self._sockets[slot]
        if sock is not None:
            del self._slot_of[sock.fileno()]
            sock.close()  # also removes it from the epoll set: this is its only descriptor (epoll(7))
            self._sockets[slot] = None
            if self._listeners:
                self._empty.append(slot)
        self._readable[slot] = self._connecting[slot] = self._watching[slot] = 0
        self._sending.pop(slot, None)

    def _names_of(self, block: Targets) -> Sequence[tuple[str, int] | bytes]:
        if isinstance(block, UnixBlock):
            return block.names
        return list(zip(self._hosts_of(block.destination), block.destination_port.tolist(), strict=True))

    def _sources_of(self, block: Block) -> list[tuple[str, int]]:
        return list(zip(self._hosts_of(block.source), block.source_port.tolist(), strict=True))

    def _hosts_of(self, packed: NDArray[np.uint8]) -> list[str]:
        hosts = []
        for row in packed:
            key = row.tobytes()
            host = self._hosts.get(key)
            if host is None:
                host = self._hosts[key] = str(unpack_address(key))
            hosts.append(host)
        return hosts
