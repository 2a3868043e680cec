"""Meeting of processes that start together, by plain sockets, before JAX joins them.

JAX waits five minutes for a process that never comes, without a word, and then aborts
with a trace of compiled code. It does the same for a coordinator that no name server
knows. Here process 0 listens at the port that JAX will use, and every process, itself
included, connects and says its index. Once all are there process 0 frees the port and
lets them go. Each process says whom it waits for, and ends with one line otherwise.
"""

import contextlib
import errno
import queue
import select
import socket
import sys
import threading
import time

from advjax.runtime.progress import LINE_S, duration

WAIT_S = 300.0
"""Time for all processes to come, that of `jax.distributed.initialize`."""
REACH_S = 30.0
"""Time to find a name and its host; Kubernetes keeps an unknown name as long."""
_ATTEMPT_S = 5.0
_TICK_S = 1.0

# The port is closed, or taken by something that ends the connection: the host is there.
_THERE = (ConnectionRefusedError, ConnectionResetError, ConnectionAbortedError)
_GO = "go"


def meet(host: str, port: int, index: int, count: int) -> None:
    """Wait until `count` processes have come to process 0.

    Args:
        host: name or address of process 0, as every process finds it.
        port: of process 0; free again afterwards.
        index: of this process.
        count: number of processes.

    Raises:
        OSError: the host is not found within `REACH_S`, the port is in use, or a
            process has not come within `WAIT_S`; the message is one line.
    """
    waiting = _Waiting(host, port, index, count)
    if index == 0:
        waiting.say(f"waits at {host}:{port} for the others")
        with contextlib.closing(_Host(waiting)) as hosting:
            hosting.gather()
    else:
        waiting.say(f"waits for process 0 at {host}:{port}")
        while not _called(waiting):
            time.sleep(_TICK_S)
    waiting.say(f"has met the others after {duration(waiting.spent_s)}")


class _Waiting:
    """One process that waits: what it says, and for how long it waits."""

    def __init__(self, host: str, port: int, index: int, count: int):
        self.host, self.port, self.index, self.count = host, port, index, count
        self._began = self._said = time.monotonic()
        self._lost_since: float | None = None

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        print(
            f"process {self.index} of {self.count} {text}",
            file=sys.stderr,
            flush=True,
        )

    def say_if_due(self, text: str, limit_s: float | None = None) -> None:
        limit_s = WAIT_S if limit_s is None else limit_s
        if time.monotonic() - self._said >= LINE_S:
            self._said = time.monotonic()
            self.say(f"{text} ({self.spent_s:.0f} s of {limit_s:.0f})")

    def failure(self, text: str) -> OSError:
        return OSError(f"coordinator={self.host}:{self.port}: {text}")

    def reach(self) -> socket.socket | None:
        """A connection to process 0; None if this host found it, but no listener."""
        try:
            connection = _connected(self.host, self.port)
        except OSError as error:
            self.not_reached(error)
            return None
        self._lost_since = None
        return connection

    def not_reached(self, error: OSError) -> None:
        now, reason = time.monotonic(), error.strerror or str(error)
        # Process 0 listens before it connects to itself.
        if isinstance(error, _THERE) and self.index > 0:
            self._lost_since = None
            if self.spent_s >= WAIT_S:
                raise self.failure(
                    f"process 0 does not answer after {WAIT_S:.0f} s ({reason}). Start "
                    "it, and open its port to the other hosts"
                ) from error
            self.say_if_due(f"still waits for process 0: {reason}")
            return
        if self._lost_since is None:
            self._lost_since = now
        if now - self._lost_since + _ATTEMPT_S < REACH_S:
            self.say_if_due(f"does not find process 0: {reason}", REACH_S)
            return
        if isinstance(error, socket.gaierror):
            raise self.failure(
                f"this host does not know the name {self.host} ({reason}). Give a name "
                "or an address of process 0 that every host knows"
            ) from error
        raise self.failure(
            f"{self.host} cannot be reached ({reason}). Give an address of process 0, "
            "and open its port to the other hosts"
        ) from error


def _connected(host: str, port: int) -> socket.socket:
    """A connection, within `_ATTEMPT_S`, however long a name server takes.

    Raises:
        OSError: there is none.
    """
    found: queue.SimpleQueue[socket.socket | OSError] = queue.SimpleQueue()

    def connect() -> None:
        try:
            found.put(socket.create_connection((host, port), timeout=_ATTEMPT_S))
        except OSError as error:
            found.put(error)

    threading.Thread(target=connect, name="meeting", daemon=True).start()
    try:
        answer = found.get(timeout=_ATTEMPT_S)
    except queue.Empty:
        raise TimeoutError(errno.ETIMEDOUT, "no answer") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _called(waiting: _Waiting) -> bool:
    """True once process 0 let this process go; False if it did not answer.

    Raises:
        OSError: it answered that the processes cannot meet.
    """
    connection = waiting.reach()
    if connection is None:
        return False
    with connection:
        try:
            answer = _answer(connection, waiting)
        except OSError:
            answer = ""
    if answer == _GO:
        return True
    if answer:
        raise waiting.failure(answer)
    # Something else listens there: perhaps JAX, for processes that met without this
    # one after it was lost. They end soon and come again.
    waiting.not_reached(ConnectionResetError(errno.ECONNRESET, "no advjax there"))
    return False


def _answer(connection: socket.socket, waiting: _Waiting) -> str:
    """The line that process 0 sends in the end; empty if it sends none."""
    connection.settimeout(_TICK_S)
    connection.sendall(f"advjax {waiting.index} {waiting.count}\n".encode())
    heard, began = b"", time.monotonic()
    # Process 0 may have begun to wait later than this one.
    while time.monotonic() - began < WAIT_S + REACH_S:
        with contextlib.suppress(TimeoutError):
            more = connection.recv(1024)
            heard += more
            if not more or b"\n" in heard:
                break
        waiting.say_if_due("still waits for process 0 to meet all others")
    words = heard.decode(errors="replace").partition("\n")[0].split(" ", 1)
    return words[1] if words[0] == "advjax" and len(words) > 1 else ""


class _Host:
    """Process 0, which listens at the port until all have come."""

    def __init__(self, waiting: _Waiting):
        self._waiting = waiting
        self._heard: dict[socket.socket, bytes] = {}
        self._come: dict[int, socket.socket] = {}
        try:
            self._listener = _listener(waiting.port, waiting.count)
        except OSError as error:
            raise waiting.failure(
                f"port {waiting.port} of this host cannot be opened "
                f"({error.strerror}). Choose another, or end what uses it"
            ) from error

    def close(self) -> None:
        for connection in (*self._heard, self._listener):
            connection.close()

    def gather(self) -> None:
        """Let all go once they have come.

        Raises:
            OSError: some have not come within `WAIT_S`, which the others are told.
        """
        # JAX connects process 0 to itself in the same way, and aborts where it cannot.
        while (own := self._waiting.reach()) is None:
            time.sleep(_TICK_S)
        with own:
            own.sendall(f"advjax 0 {self._waiting.count}\n".encode())
            while missing := self._missing():
                if self._waiting.spent_s >= WAIT_S:
                    text = f"{missing} did not come within {WAIT_S:.0f} s"
                    self._tell_all(text)
                    raise self._waiting.failure(f"{text}. Start it, or see its log")
                self._waiting.say_if_due(f"still waits for {missing}")
                self._listen()
        # Closed first: JAX opens the port as soon as this process has gone.
        self._listener.close()
        self._tell_all(_GO)

    def _missing(self) -> str:
        missing = [n for n in range(self._waiting.count) if n not in self._come]
        if not missing:
            return ""
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        return f"process {', '.join(map(str, missing[:5]))}{more}"

    def _listen(self) -> None:
        ready, _, _ = select.select([self._listener, *self._heard], [], [], _TICK_S)
        for connection in ready:
            if connection is self._listener:
                with contextlib.suppress(OSError):
                    self._heard[self._listener.accept()[0]] = b""
            elif connection in self._heard:
                self._hear(connection)

    def _hear(self, connection: socket.socket) -> None:
        try:
            more = connection.recv(64)
        except OSError:
            more = b""
        said = self._heard[connection] + more
        self._heard[connection] = said
        if not more or len(said) > 64:
            self._drop(connection)
        elif b"\n" in said:
            self._arrived(connection, said.decode(errors="replace").split())

    def _arrived(self, connection: socket.socket, words: list[str]) -> None:
        count = self._waiting.count
        if len(words) != 3 or words[0] != "advjax" or not words[1].isdecimal():
            self._drop(connection)  # of something else
            return
        if words[2] != str(count) or int(words[1]) >= count:
            _tell(connection, f"process 0 has num_processes={count}, not {words[2]}")
            self._drop(connection)
            return
        # A process that was lost and started again comes twice.
        if (before := self._come.get(int(words[1]))) is not None:
            self._drop(before)
        self._come[int(words[1])] = connection

    def _drop(self, connection: socket.socket) -> None:
        connection.close()
        del self._heard[connection]
        self._come = {n: one for n, one in self._come.items() if one is not connection}

    def _tell_all(self, text: str) -> None:
        for connection in self._come.values():
            _tell(connection, text)


def _tell(connection: socket.socket, text: str) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(f"advjax {text}\n".encode())


def _listener(port: int, count: int) -> socket.socket:
    """A listening socket at all addresses of this host, as JAX opens it."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, backlog=count, dualstack_ipv6=True
        )
    return socket.create_server(("", port), backlog=count)
