import subprocess
import sys

import pytest

import advjax


def test_sub_packages_are_imported_when_named():
    code = (
        "import sys, advjax; assert 'jax' not in sys.modules; "
        "print(advjax.smoothing.gaussian, advjax.attacks.run, advjax.evaluation)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_dir_lists_what_users_need_and_no_machinery():
    names = dir(advjax)
    assert {"__version__", "attacks", "checkpoint", "smoothing", "models"} <= {*names}
    assert not {"runtime", "arguments", "callables", "runs", "importlib"} & {*names}
    assert all(hasattr(advjax, name) for name in names)


@pytest.mark.parametrize("name", ["smothing", "__path_of_none__", "smoothing.laws"])
def test_other_names_are_attribute_errors(name):
    assert not hasattr(advjax, name)


def test_the_docstring_names_functions_that_exist():
    lines = [line.split() for line in (advjax.__doc__ or "").splitlines()]
    named = [words[0] for words in lines if words and words[0].startswith("advjax.")]
    assert len(named) == 5
    for name in named:
        _, package, function = name.split(".")
        assert callable(getattr(getattr(advjax, package), function))
