"""Formats of records, and a small set of them in each."""

import pathlib
import shutil

import pytest

from tests.record_sets import FORMATS, SET, skip_without_writer, write


@pytest.fixture(params=FORMATS)
def file_format(request):
    """Each format that this machine can write."""
    skip_without_writer(request.param)
    return request.param


@pytest.fixture(scope="module", params=FORMATS)
def built(request, tmp_path_factory):
    """The folder of a set that no test changes."""
    skip_without_writer(request.param)
    folder = tmp_path_factory.mktemp(request.param) / "set"
    write(folder, file_format=request.param)
    return folder / SET


@pytest.fixture
def copied(built, tmp_path):
    """A copy of the set, to change."""
    return pathlib.Path(shutil.copytree(built, tmp_path / "copy"))
