"""Attacks of one command: a run for each attack and budget, and one report."""

import itertools
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from advjax import catalog
from advjax.attacks import ATTACKS, Attack
from advjax.representations import Waveform
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from advjax.runtime import parallel
from advjax.runtime.text import did_you_mean, printable
from data_prep.help import command
from experiments.lab import (
    attack,
    attack_report,
    attack_requests,
    audibility,
    budgets,
    folder_names,
    preflight,
    shared_runs,
    successes,
    wav_pairs,
)
from experiments.lab.attack_requests import TARGETS, AttackRequest
from experiments.lab.console import say
from experiments.lab.task import Draft, System

MOST_SLOTS = 2**16


class Shown(NamedTuple):
    """Parts of the report beside its table.

    Attributes:
        count: successes in examples.png, on the page and, with `audio`, as WAV pairs.
        audio: write WAV pairs.
        audio_format: "pcm16", or "float32" for such files beside those of 16 bits.
        audible: compare successes with the masking threshold.
    """

    count: int
    audio: bool
    audio_format: str
    audible: bool


def plan(
    draft: Draft,
    attacks: Sequence[str],
    texts: Sequence[str],
    *,
    target: str | None,
    num_slots: int | None,
    finish: str | None,
) -> list[AttackRequest]:
    """Every attack at every budget, all of them checked before the first one runs.

    Args:
        draft: whose classifier is attacked.
        attacks: choices from `ATTACKS`, with options.
        texts: budgets, for attacks within one.
        target: the class that targeted attacks reach; None for the default.
        num_slots: examples attacked at once.
        finish: "pcm16" to make successes hold in files of 16 bits, or None.

    Raises:
        ValueError: an attack, budget, target or number that is wrong or has no effect.
    """
    if num_slots and num_slots > MOST_SLOTS:
        raise ValueError(f"--slots={num_slots}: give 1 to {MOST_SLOTS:,}")
    if finish and not isinstance(draft.stage, Waveform):
        raise ValueError(
            f"--finish={finish} needs a perturbed waveform, and --rep is "
            f"{draft.stage.name}: give --rep=waveform, or leave --finish out"
        )
    built = {text: attack_requests.build(draft, text) for text in attacks}
    if texts and not any(each.fixed_budget for each in built.values()):
        raise ValueError(
            f"{' and '.join(built)} looks for the smallest perturbation: leave "
            "--budget out"
        )
    if target is not None:
        _check_target(draft, target, built)
    labels = list(map(budgets.label, texts))
    requests = []
    for text, each in built.items():
        for budget in labels if each.fixed_budget and labels else [None]:
            budgets.check(budget, text, each)
            request = AttackRequest(text, budget, num_slots=num_slots, finish=finish)
            requests.append(request._replace(target=target) if target else request)
    return requests


def in_words(draft: Draft, requests: Sequence[AttackRequest]) -> str:
    """The attacks, their stage and their budgets."""
    names = " and ".join(dict.fromkeys(each.attack for each in requests))
    sizes = ", ".join(dict.fromkeys(each.budget for each in requests if each.budget))
    within = f" within {sizes}" if sizes else ""
    return f"by {names} at {draft.stage.name}{within}"


def _check_target(draft: Draft, text: str, built: Mapping[str, Attack]) -> None:
    """Refuse a target that no class has, or that no attack uses."""
    shown = f"--target={printable(text)}"
    targeted = [name for name, each in built.items() if each.targeted]
    for name in targeted or built:
        labels = attack_requests.reachable(draft, name)
        if text in (*TARGETS, *labels):
            continue
        few = ", ".join(map(printable, labels[:3])) + ", ..." * (len(labels) > 3)
        raise ValueError(
            f"{shown}: no such class.{did_you_mean(text, (*TARGETS, *labels))} "
            f"Give {', '.join(TARGETS)}, or a class: {few}"
        )
    if not targeted:
        first = catalog.parse(next(iter(built)))[0]
        can = "targeted" in catalog.parameters(first, ATTACKS)
        raise ValueError(
            f"{shown} has no effect on {' and '.join(built)}: "
            + (f"write {first}(targeted=True), or leave" if can else "leave")
            + " --target out"
        )


def workdirs(
    requests: Sequence[AttackRequest], out: pathlib.Path | None
) -> list[pathlib.Path | None]:
    """The folder of each run in `out`; None for one in the home of the task."""
    if out is None:
        return [None] * len(requests)
    preflight.check_writable(out, "--workdir")
    folders = []
    for request in requests:
        folder = out
        if len(requests) > 1:
            words = f"{request.attack}-{request.budget or 'smallest'}"
            name = "".join(c if c.isalnum() or c in "-." else "_" for c in words)
            folder = out / name
        runs.check_run_folder(folder, ATTACK_ROWS, argument="--workdir")
        folders.append(folder)
    return folders


def run(
    system: System,
    requests: Sequence[AttackRequest],
    folders: Sequence[pathlib.Path | None],
    *,
    num_points: int,
    environment: Mapping[str, Any],
    shown: Shown,
) -> list[pathlib.Path]:
    """Run the attacks and show their successes; return the folders of the runs."""
    points = system.test_points(num_points)
    prepared = [
        attack.prepare(system, request, points, workdir=folder, environment=environment)
        for request, folder in zip(requests, folders, strict=True)
    ]
    parallel.detach()
    for each in prepared:
        attack.run(each)
        if not runs.num_missing(each.folder):
            successes.show(
                system,
                each.folder,
                count=shown.count,
                audio_format=shown.audio_format if shown.audio else None,
            )
    return [each.folder for each in prepared]


def report(
    system: System,
    folders: Sequence[pathlib.Path],
    comparisons: pathlib.Path,
    shown: Shown,
) -> None:
    """Print and write the report, unless other processes still attack."""
    if not shared_runs.are_finished(folders):
        return
    where = folders[0]
    if len(folders) > 1:
        # A folder of this command's own: others compare other runs.
        among = {"runs": sorted(folder.name for folder in folders)}
        where = comparisons / folder_names.name_of("comparison", among)
    with tempfile.TemporaryDirectory() as scratch:
        audio = _audio(system, folders, pathlib.Path(scratch), shown.count)
        print(attack_report.report(folders, where, audio=audio))
    for folder in folders if shown.audible else ():
        print(f"{folder.name}: {audibility.report(system, folder)}")
    say(f"report      {where}/report.md")
    say(f"listen      {where}/report.html")
    say("            Each run has rows*.tsv, x_adv*.npy and examples.png.")
    transfer = f"{command('experiments.transfer')} --runs={folders[0]},OTHER"
    say(f"next        {transfer} tries these examples on another run's network")


def _audio(
    system: System, folders: Sequence[pathlib.Path], scratch: pathlib.Path, count: int
) -> dict[pathlib.Path, pathlib.Path]:
    """Folders in `scratch` with WAV pairs of the runs that have saved none."""
    found = {}
    for number, folder in enumerate(folders):
        saved = (folder / wav_pairs.EXAMPLES_FILE).exists()
        if not saved and successes.is_audible(system):
            found[folder] = scratch / f"{number}"
            found[folder].mkdir()
            chosen = itertools.islice(successes.successes(system, folder), count)
            successes.save_pairs(system, chosen, found[folder])
    return found
