"""Weights in installed packages and wheels, and messages where there are none."""

import hashlib
import importlib.util
import zipfile

import numpy as np
import pytest

from advjax.pretrained import PRETRAINED, find, packages
from advjax.pretrained.tensor_files import NotTensors

MEMBER = "published/data/weights.bin"


def params(content):
    if content != b"numbers":
        raise NotTensors("other numbers")
    return {"kernel": np.zeros(3)}


@pytest.fixture(autouse=True)
def published(monkeypatch):
    package = packages.Package("published==1.2", MEMBER, params)
    monkeypatch.setitem(PRETRAINED, "net", package)


def write_wheel(folder, **members):
    path = folder / "published-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
    return path


def test_a_wheel_and_the_file_itself_give_the_same_weights(tmp_path):
    wheel = write_wheel(tmp_path, **{MEMBER: b"numbers"})
    (tmp_path / "weights.bin").write_bytes(b"numbers")
    found = find("net", wheel)
    assert list(found.params) == ["kernel"]
    assert found.source == f"published==1.2: {MEMBER}"
    assert found.digest == hashlib.sha256(b"numbers").hexdigest()[:16]
    assert find("net", tmp_path / "weights.bin").digest == found.digest


def test_an_installed_package_is_read_and_not_imported(tmp_path, monkeypatch):
    file = tmp_path / MEMBER
    file.parent.mkdir(parents=True)
    file.write_bytes(b"numbers")
    (tmp_path / "published" / "__init__.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(find("net").params) == ["kernel"]


@pytest.mark.parametrize("spec", [None, ValueError("no spec")])
def test_a_package_that_is_missing_is_named_with_the_way_to_get_it(monkeypatch, spec):
    def find_spec(name):
        if isinstance(spec, Exception):
            raise spec
        return spec

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(FileNotFoundError) as refused:
        find("net")
    assert "pip download --no-deps published==1.2" in str(refused.value)
    assert "--weights=FILE.whl" in str(refused.value)


@pytest.mark.parametrize("case", ["missing", "folder", "other", "damaged", "wrong"])
def test_another_file_is_refused_with_the_way_to_get_it(tmp_path, case):
    path = tmp_path / "file"
    if case == "folder":
        path.mkdir()
    elif case == "other":
        path = write_wheel(tmp_path, other=b"")
    elif case == "damaged":
        content = write_wheel(tmp_path, **{MEMBER: b"numbers"}).read_bytes()
        path.write_bytes(content.replace(b"numbers", b"Numbers"))
    elif case == "wrong":
        path.write_bytes(b"hello")
    with pytest.raises(
        (ValueError, OSError), match="pip download --no-deps"
    ) as refused:
        find("net", path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_beyond_the_limit_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "MOST_BYTES", 3)
    (tmp_path / "weights.bin").write_bytes(b"numbers")
    for path in (write_wheel(tmp_path, **{MEMBER: b"0" * 4}), tmp_path / "weights.bin"):
        with pytest.raises(ValueError, match="too large"):
            find("net", path)


@pytest.mark.parametrize("name", ["ge2e", "silero_vad"])
def test_tensors_of_another_network_are_refused(name, tmp_path, monkeypatch):
    state = {"other": np.zeros(3)}
    saved = {"model_state": state}
    monkeypatch.setattr(packages.tensor_files, "read_old_torch", lambda content: saved)
    monkeypatch.setattr(packages.tensor_files, "read_onnx", lambda content: state)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match=f"does not hold the weights of {name}"):
        find(name, tmp_path / "file")
