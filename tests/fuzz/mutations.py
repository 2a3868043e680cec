"""Ways in which files get damaged, each drawn from a seeded generator."""

import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator


def _block(rng: Rng, content: bytes) -> tuple[int, int]:
    """Where a random block begins and ends."""
    length = int(rng.integers(1, max(2, min(len(content) // 4, 4096))))
    start = int(rng.integers(0, max(1, len(content) - length)))
    return start, start + length


def cut(rng: Rng, content: bytes) -> bytes:
    """Cut short at a random place."""
    return content[: int(rng.integers(0, max(1, len(content))))]


def bit(rng: Rng, content: bytes) -> bytes:
    """Flip one bit."""
    found = bytearray(content)
    found[int(rng.integers(len(found)))] ^= 1 << int(rng.integers(8))
    return bytes(found)


def early_bit(rng: Rng, content: bytes) -> bytes:
    """Flip one bit near the beginning."""
    return bit(rng, content[:128]) + content[128:]


def byte(rng: Rng, content: bytes) -> bytes:
    """Put another byte in the place of one."""
    found = bytearray(content)
    found[int(rng.integers(len(found)))] = int(rng.integers(256))
    return bytes(found)


def zeros(rng: Rng, content: bytes) -> bytes:
    """Write zeros over a block."""
    start, end = _block(rng, content)
    return content[:start] + bytes(end - start) + content[end:]


def swap(rng: Rng, content: bytes) -> bytes:
    """Exchange two blocks that follow each other."""
    start, middle = _block(rng, content)
    end = min(len(content), 2 * middle - start)
    return content[:start] + content[middle:end] + content[start:middle] + content[end:]


def double(rng: Rng, content: bytes) -> bytes:
    """Repeat a block."""
    start, end = _block(rng, content)
    return content[:end] + content[start:]


def delete(rng: Rng, content: bytes) -> bytes:
    """Take a block out."""
    start, end = _block(rng, content)
    return content[:start] + content[end:]


def huge(rng: Rng, content: bytes) -> bytes:
    """Write a huge number into the header."""
    number = [b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x00\x00\x00\x00\x00\x04\x00\x00"]
    text = number[int(rng.integers(len(number)))]
    start = int(rng.integers(0, min(64, max(1, len(content) - 8))))
    return content[:start] + text + content[start + len(text) :]


def huge_shape(rng: Rng, content: bytes) -> bytes:
    """Write another shape into a header of NumPy's."""
    start = content.find(b"'shape': (")
    if start < 0:
        return huge(rng, content)
    start += len(b"'shape': (")
    digits = bytearray(content)
    digits[start] = b"0123456789"[int(rng.integers(10))]
    number = b"999999999999, "
    end = content.find(b"\n", start)
    if rng.random() < 0.5 and content[end - len(number) : end].isspace():
        digits[start:end] = number + digits[start : end - len(number)]
    return bytes(digits)


def empty(rng: Rng, content: bytes) -> bytes:
    """Leave nothing."""
    return b""


def encoding(rng: Rng, content: bytes) -> bytes:
    """Write the text in another encoding, or bytes that are none."""
    text = content.decode("utf-8", errors="replace")
    if rng.random() < 0.3:
        start, _ = _block(rng, content)
        return content[:start] + b"\xff\xfe" + content[start:]
    return text.encode(["utf-16", "utf-32", "utf-8-sig"][int(rng.integers(3))])


def digits(rng: Rng, content: bytes) -> bytes:
    """Put another digit, sign, point or word into a text of numbers."""
    places = [n for n, c in enumerate(content) if c in b"0123456789"]
    if not places:
        return byte(rng, content)
    place = places[int(rng.integers(len(places)))]
    words = [b"7", b"-1", b"1_0", b"nan", b"inf", b".", "\u0663".encode(), b"1e999"]
    return content[:place] + words[int(rng.integers(len(words)))] + content[place + 1 :]


def line(rng: Rng, content: bytes) -> bytes:
    """Delete, repeat or move a line."""
    lines = content.splitlines(keepends=True)
    number = int(rng.integers(len(lines)))
    taken = lines.pop(number)
    for _ in range(int(rng.integers(3))):
        lines.insert(int(rng.integers(len(lines) + 1)), taken)
    return b"".join(lines)


def json_value(rng: Rng, content: bytes) -> bytes:
    """Change, add or take out a value of JSON."""
    value = json.loads(content)
    places = list(_places(value))
    if not places:
        return byte(rng, content)
    holder, key = places[int(rng.integers(len(places)))]
    others = [
        None, True, -1, 0, 10**30, 1.5, -0.5, "", "text", [], {}, [[]], {"a": {}},
        float("nan"), float("inf"), "\x1b[31m", [1] * 100,
    ]  # fmt: skip
    choice = rng.integers(4)
    if choice == 0:
        del holder[key]
    elif choice == 1 and isinstance(holder, dict):
        holder[f"{key}2"] = 1
    else:
        holder[key] = others[int(rng.integers(len(others)))]
    return json.dumps(value, indent=2).encode()


def json_deep(rng: Rng, content: bytes) -> bytes:
    """Nest a value of JSON deeply, or give a key twice."""
    if rng.random() < 0.5:
        return content.replace(
            b"{", b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b",", 1
        )
    return content.replace(b"{", b'{"settings": 1, "digest": 2, "points": 3,', 1)


def _places(value: Any):
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield value, key
            yield from _places(value[key])


Mutation = Callable[[Rng, bytes], bytes]
ANY: tuple[Mutation, ...] = (
    cut, bit, early_bit, byte, zeros, swap, double, delete, huge, empty,
)  # fmt: skip
TEXT = (*ANY, encoding, digits, line)
JSON = (*TEXT, json_value, json_value, json_deep)
ARRAY = (*ANY, huge_shape, huge_shape)


def replace_file(rng: Rng, path: pathlib.Path) -> str:
    """Put a folder, a link to itself or nothing in the place of a file."""
    path.unlink()
    choice = int(rng.integers(3))
    if choice == 0:
        path.mkdir()
    elif choice == 1:
        path.symlink_to(path.name)
    return ["a folder", "a link to itself", "missing"][choice]


def damage(
    rng: Rng, folder: pathlib.Path, file: str, ways: tuple[Mutation, ...]
) -> str:
    """Damage one file of a folder in one way, and say how."""
    path = folder / file
    number = int(rng.integers(len(ways) + 1))
    if number == len(ways):
        return replace_file(rng, path)
    content = path.read_bytes()
    way = ways[number] if content else empty
    path.write_bytes(way(rng, content))
    return way.__name__


def copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy a folder in the place of another."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
