import threading
import time

from advjax import checkpoint
from experiments.lab import trainers
from experiments.lab.task import Task
from tests import record_sets


def test_of_two_trainings_of_one_classifier_the_second_finds_the_first(
    tmp_path, monkeypatch, capsys
):
    trained = []

    def train(training, module, train, workdir):
        workdir.mkdir(parents=True)  # another one would find its checkpoints here
        trained.append(workdir)
        time.sleep(0.3)
        return "classifier"

    monkeypatch.setitem(trainers.TRAINERS, "rescnn", trainers.Trainer(train))
    record_sets.write(tmp_path / "set", file_format="npz")
    draft = Task(
        home=tmp_path,
        defence="plain",
        records_folder=str(tmp_path / "set"),
        front_end=record_sets.REPRESENTATION,
    ).draft()
    training = draft.training(draft.source.resolve(), draft.noise)
    monkeypatch.setattr(
        checkpoint, "save", lambda folder, saved, **_: folder.mkdir(parents=True)
    )
    monkeypatch.setattr(checkpoint, "load", lambda folder: "classifier")
    found = []

    def start():
        found.append(trainers.find_or_train(training))

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == ["classifier"] * 3
    assert len(trained) == 1
    told = capsys.readouterr().err
    assert told.count("is being made by") == 2
    assert told.count("(found)") == 2
    assert list((tmp_path / "classifiers").iterdir()) == [training.folder]
