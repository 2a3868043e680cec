"""Processes that meet before JAX joins them, with a clock that waiting moves."""

import contextlib
import errno
import socket
import threading
import types

import pytest

from advjax.runtime import meeting


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only where the code sleeps, or a test adds some."""
    time = types.SimpleNamespace(now=0.0, monotonic=lambda: time.now)
    time.sleep = lambda seconds: setattr(time, "now", time.now + seconds)
    monkeypatch.setattr(meeting, "time", time)
    return time


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(meeting, "_TICK_S", 0.01)


class Comer(threading.Thread):
    """A process that comes to the meeting, and what became of it."""

    def __init__(self, *place):
        super().__init__(daemon=True)
        self.place, self.failure = place, None
        self.start()

    def run(self):
        try:
            meeting.meet(*self.place)
        except OSError as error:
            self.failure = str(error)

    def ended(self):
        self.join(timeout=60)
        assert not self.is_alive()
        return self.failure


def test_all_go_once_all_have_come_in_any_order(port, quick, monkeypatch, capsys):
    connected, refused = meeting._connected, threading.Barrier(3)
    first = threading.local()

    def reaching(*place):
        try:
            return connected(*place)
        except ConnectionRefusedError:
            if not hasattr(first, "refused"):
                first.refused = True
                refused.wait(60)
            raise

    monkeypatch.setattr(meeting, "_connected", reaching)
    others = [Comer("127.0.0.1", port, index, 3) for index in (1, 2)]
    # Process 0 starts last, when the others have found its port closed.
    refused.wait(60)
    meeting.meet("127.0.0.1", port, 0, 3)
    assert [other.ended() for other in others] == [None, None]
    said = capsys.readouterr().err
    assert f"process 0 of 3 waits at 127.0.0.1:{port} for the others\n" in said
    for index in (1, 2):
        assert f"process {index} of 3 waits for process 0 at 127.0.0.1:{port}\n" in said
    assert said.count("has met the others after") == 3
    # JAX opens the port next.
    meeting._listener(port, 3).close()


def failure(*place):
    with pytest.raises(OSError) as caught:
        meeting.meet(*place)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def lost(error):
    def connect(*place, **options):
        raise error

    return connect


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "this host does not know the name n1 (Name or service not known). Give",
        ),
        (
            OSError(errno.EHOSTUNREACH, "No route to host"),
            "n1 cannot be reached (No route to host). Give",
        ),
        (TimeoutError("timed out"), "n1 cannot be reached (timed out). Give"),
    ],
)
def test_a_host_that_is_not_found_ends_in_a_line_within_30_s(
    port, clock, monkeypatch, capsys, index, error, message
):
    monkeypatch.setattr(socket, "create_connection", lost(error))
    assert f"coordinator=n1:{port}: {message}" in failure("n1", port, index, 2)
    # One more attempt would have ended later.
    assert 30 - meeting._ATTEMPT_S <= clock.now <= 30
    assert " s of 30)" in capsys.readouterr().err


def test_a_name_server_that_does_not_answer_is_not_waited_for(port, clock, monkeypatch):
    monkeypatch.setattr(meeting, "_ATTEMPT_S", 0.01)
    silent = threading.Event()
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: silent.wait(60))
    try:
        assert "n1 cannot be reached (no answer)" in failure("n1", port, 1, 2)
    finally:
        silent.set()
    assert clock.now <= 30


def test_a_closed_port_is_asked_for_as_long_as_jax_would(port, clock, capsys):
    assert "process 0 does not answer after 300 s" in failure("127.0.0.1", port, 1, 2)
    assert clock.now == 300
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 + 300 // 15 - 1
    assert said[1].endswith("Connection refused (15 s of 300)")


def test_another_service_is_no_process_0(clock, capsys):
    with socket.create_server(("127.0.0.1", 0), backlog=400) as other:

        def answer():
            with contextlib.suppress(OSError):  # closed at the end
                while True:
                    connection, _ = other.accept()
                    connection.sendall(b"\0\0\x12\4\0")
                    connection.close()

        threading.Thread(target=answer, daemon=True).start()
        port = other.getsockname()[1]
        assert "(no advjax there)" in failure("127.0.0.1", port, 1, 2)


def test_who_does_not_come_is_named_to_all(port, quick, clock, monkeypatch, capsys):
    arrived = meeting._Host._arrived

    def arrive(host, connection, words):
        arrived(host, connection, words)
        clock.now += 200 if words[1] == "1" else 0
        clock.now += 200 if len(host._come) == 2 else 0

    monkeypatch.setattr(meeting._Host, "_arrived", arrive)
    other = Comer("127.0.0.1", port, 1, 3)
    missing = "process 2 did not come within 300 s"
    assert missing in failure("127.0.0.1", port, 0, 3)
    assert missing in other.ended()


def test_what_is_no_process_of_the_run_does_not_count(port, quick):
    first = Comer("127.0.0.1", port, 0, 2)
    assert "process 0 has num_processes=2, not 3" in Comer(
        "127.0.0.1", port, 1, 3
    ).ended().replace(f"coordinator=127.0.0.1:{port}: ", "")
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert stranger.recv(64) == b""
    assert first.is_alive()
    meeting.meet("127.0.0.1", port, 1, 2)
    assert first.ended() is None


def test_a_port_in_use_is_told():
    with meeting._listener(0, 1) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} of this host cannot be opened" in failure(
            "127.0.0.1", port, 0, 2
        )
