import subprocess
import sys

import advjax


def test_sub_packages_are_imported_when_named():
    code = (
        "import sys, advjax; assert 'jax' not in sys.modules; "
        "assert 'smoothing' in dir(advjax) and 'attacks' in dir(advjax); "
        "print(advjax.smoothing.gaussian, advjax.attacks.run, advjax.evaluation)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_other_names_are_attribute_errors():
    assert not hasattr(advjax, "smothing")
    assert not hasattr(advjax, "__path_of_none__")
