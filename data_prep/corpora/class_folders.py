"""Class folders, also below folders of splits: CLASS/NAME.wav, train/CLASS/NAME.wav.

Source: the *AudioFolder* of Hugging Face Datasets.
"""

import os
import pathlib
from collections.abc import Iterator, Mapping

from advjax.runtime.text import printable
from data_prep.corpora.files import (
    AUDIO_SUFFIXES,
    contents,
    files_below,
    is_clip,
    looks_like_clip,
    some,
)
from data_prep.corpora.listing import LAYOUT, Clip, Listing


def read_class_folders(
    root: pathlib.Path, parts: Mapping[pathlib.Path, str]
) -> Listing:
    """Clips in CLASS/, SPLIT/CLASS/ or deeper; a folder in a class is a speaker."""
    tree = list(_walk(root))
    found = [
        (folders, folder, name)
        for folders, folder, names in tree
        for name in names
        if is_clip(name)
    ]
    split_of = {folder.name: split for folder, split in parts.items()}
    # A class may be called "train": its clips lie in no folder below.
    is_split = bool(split_of) and any(
        len(folders) > 1 and folders[0] in split_of for folders, _, _ in found
    )
    depth = 1 if is_split else 0
    others = {f[0] for f, _, _ in found if is_split and f and f[0] not in split_of}
    if others:
        raise ValueError(
            f"{printable(str(root))} has folders of splits "
            f"({printable(', '.join(split_of))}) with class folders in them, and "
            f"{some(sorted(others), 'other folder')} with clips: move these, or give "
            "other names to classes that are called like a split"
        )
    clips, astray, ids = [], [], set()
    # Of one recording in two formats the first is taken.
    found.sort(key=lambda file: (file[0], _stem(file[2]), _kind(file[2])))
    repeated = []
    for folders, folder, name in found:
        if len(folders) <= depth:
            astray.append("/".join((*folders, name)))
            continue
        id = "/".join((*folders, _stem(name)))
        if id in ids:
            repeated.append(name)
            continue
        ids.add(id)
        clips.append(
            Clip(
                id=id,
                path=os.path.join(folder, name),
                label=folders[depth],
                split=split_of[folders[0]] if is_split else None,
                speaker=folders[depth + 1] if len(folders) > depth + 1 else None,
                by_table=False,
            )
        )
    unreadable = [n for _, _, names in tree for n in names if looks_like_clip(n)]
    if not clips:
        raise ValueError(_no_clips(root, astray, unreadable))
    # Folders where a class would be.
    there = {folders[depth] for folders, _, _ in tree if len(folders) > depth}
    where = "SPLIT/CLASS/" if is_split else "class folders"
    left_out = [
        (astray, f"outside {where}"),
        (repeated, "of a recording that is there in another format"),
        (unreadable, "of a format that may be incomplete unnoticed"),
        (sorted(there - {clip.label for clip in clips}), "without clips"),
    ]
    return Listing(
        layout="class folders" + " below folders of splits" * is_split,
        clips=clips,
        speakers="folder below the class",
        left_out=tuple(
            f"{some(names, 'folder' if 'without' in why else 'file')} {why}"
            for names, why in left_out
            if names
        ),
    )


def _no_clips(root: pathlib.Path, astray: list[str], unreadable: list[str]) -> str:
    shown = printable(str(root))
    if astray:
        return (
            f"{shown} holds {some(astray, 'clip')} in no class folder: put the clips "
            "of each class into a folder of its own, or list them in metadata.csv"
        )
    if unreadable:
        return (
            f"{shown} holds {some(unreadable, 'file')} of formats that may be "
            "incomplete unnoticed, and no others: convert them to WAV or FLAC"
        )
    return f"{shown} holds no clips: give a folder with {LAYOUT}. {contents(root)}"


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _kind(name: str) -> int:
    return AUDIO_SUFFIXES.index(os.path.splitext(name)[1].lower())


def _visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _walk(root: pathlib.Path) -> Iterator[tuple[tuple[str, ...], str, list[str]]]:
    """(names of the folders below `root`, path, names of files) of visible folders."""
    for folder, names in files_below(root):
        parts = pathlib.Path(os.path.relpath(folder, root)).parts
        if all(map(_visible, parts)):
            yield parts, folder, [name for name in names if _visible(name)]


def has_clips(folder: pathlib.Path) -> bool:
    """True if a clip lies anywhere below a folder."""
    return any(is_clip(name) for _, _, names in _walk(folder) for name in names)
