import errno
import os
import pathlib
import sys

import pytest

from advjax.runtime import failures


def raised(action):
    with pytest.raises(BaseException) as caught:
        action()
    return caught.value


def test_a_mistake_of_ours_keeps_its_traceback():
    for error in (TypeError("x"), KeyError("x"), AssertionError(), RuntimeError("x")):
        assert failures.in_words(error) is None
    assert failures.in_words(ModuleNotFoundError("x", name="advjax.typo")) is None


@pytest.mark.parametrize(
    "module, command",
    [
        ("soundfile", "pip install soundfile"),
        ("array_record.python", "pip install array-record"),
        ("importlib_resources", "pip install importlib-resources"),
        ("matplotlib.figure", "pip install matplotlib"),
        ("sklearn.svm", 'pip install "advjax[svm]", or EXTRAS=svm ./launch.sh'),
        ("torch", 'pip install "advjax[interop]", or EXTRAS=interop ./launch.sh'),
        ("tensorflow_datasets", "pip install tensorflow-datasets"),
        (
            "jax2onnx",
            'pip install "advjax[interop]", or EXTRAS=interop ./launch.sh; and then '
            "pip install --no-deps jax2onnx==0.17.1",
        ),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(module, command):
    top = module.partition(".")[0]
    error = ModuleNotFoundError(f"No module named {top!r}", name=top)
    expected = f"the package {top} is missing: {command}"
    assert failures.in_words(error) == expected
    # Libraries hide it behind messages of their own.
    outer = ImportError("Failed importing something.\nThis likely means ...")
    outer.__context__ = error
    assert failures.in_words(outer) == expected


def test_what_is_needed_is_looked_for_before_the_work():
    failures.need("json", "numpy")
    with pytest.raises(ModuleNotFoundError) as caught:
        failures.need("json", "no_such_package", liked=["numpy"])
    text = "the package no_such_package is missing: pip install no-such-package"
    assert failures.in_words(caught.value) == text


def test_one_command_installs_all_that_is_missing(monkeypatch):
    for name in ("array_record", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ModuleNotFoundError, match="pip install array-record matplotlib$"
    ):
        failures.need("array_record", liked=["matplotlib"])


def test_every_extra_named_is_one_of_the_package():
    import tomllib

    file = pathlib.Path(failures.__file__).parents[2] / "pyproject.toml"
    declared = tomllib.loads(file.read_text())["project"]["optional-dependencies"]
    assert {*failures.EXTRAS.values(), *failures._BACKENDS.values()} <= set(declared)


def test_a_package_that_is_broken_is_named():
    error = ImportError("libsndfile.so: cannot open shared object", name="soundfile")
    assert "soundfile cannot be used here (libsndfile.so" in failures.in_words(error)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_what_to_do(number):
    text = failures.in_words(OSError(number, os.strerror(number), "rows.tsv"))
    assert text.startswith("rows.tsv: ") and "make room; the same command" in text


def test_errors_of_the_system_name_the_file_and_no_number(tmp_path):
    error = raised(lambda: (tmp_path / "none").read_text())
    assert failures.in_words(error) == f"{tmp_path}/none: no such file or directory"
    error = OSError(errno.EACCES, os.strerror(errno.EACCES), b"a", None, b"b\xff")
    assert failures.in_words(error) == "a and b\\xff: permission denied"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 7 TiB"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nA table"),
    ],
)
def test_too_little_memory_says_what_to_make_smaller(error):
    text = failures.in_words(error, smaller=["--batch_size", "--tile"])
    assert text.startswith("out of memory")
    assert "give a smaller --batch_size or --tile" in text and "table" not in text


def test_a_missing_backend_says_which(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "tpu")
    error = RuntimeError("Unable to initialize backend 'tpu': no libtpu.\nMore")
    text = failures.in_words(error)
    assert text.startswith("JAX_PLATFORMS=tpu: ") and 'advjax[tpu]"' in text
    assert "More" not in text


def test_numbers_and_nests_out_of_all_bounds():
    assert "too large" in failures.in_words(raised(lambda: float(10**999)))
    assert "nested" in failures.in_words(RecursionError("maximum recursion depth"))


@pytest.mark.parametrize("kind", [ValueError, OSError, MemoryError, FileNotFoundError])
def test_no_message_is_empty(kind):
    from advjax.runtime.paths import user_path

    class Odd:
        def __fspath__(self):
            raise kind

    text = failures.in_words(raised(lambda: user_path(Odd())))
    assert "advjax/runtime/paths.py, user_path" in text


def test_a_message_is_one_line_without_control_characters():
    text = failures.in_words(ValueError("one\n  two\n\nthree \x1b[31m"))
    assert text == "one two three \\x1b[31m"
