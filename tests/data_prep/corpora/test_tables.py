import pytest

from data_prep.corpora.base import SPLITS
from data_prep.corpora.esc50 import esc50
from data_prep.corpora.fsdkaggle2018 import fsdkaggle2018
from data_prep.corpora.tables import plain_name, read_table, truth, whole_number
from data_prep.corpora.urbansound8k import urbansound8k


def test_a_table_is_read_by_column(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('\ufefffile,fold,note\n"a, b.wav",2,\nc.wav,10,x\n', "utf-8")
    assert read_table(path, {"fold": int, "file": str}) == [
        {"fold": 2, "file": "a, b.wav"},
        {"fold": 10, "file": "c.wav"},
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("file,fould\na.wav,1\n", "no column fold; it has file, fould"),
        ("", "no column file, fold; it has none"),
        ("file,fold\na.wav,1\nb.wav,one\n", "line 3: .*one.*invalid literal"),
        ("file,fold\na.wav\n", "line 2: .*a value is missing"),
        ("fold,file\n1\n", "line 2: .*a value is missing"),
    ],
)
def test_a_bad_table_is_named(tmp_path, text, complaint):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"(?s)table.csv.*{complaint}"):
        read_table(path, {"file": str, "fold": int})


def test_no_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="csv: .*file, fold; give the folder"):
        read_table(tmp_path / "table.csv", {"file": str, "fold": int})


ROWS = ["file,fold,checked", "a.wav,1,True", "b.wav,2,False"]
COLUMNS = {"file": plain_name, "fold": whole_number, "checked": truth}
PLAIN = "\n".join(ROWS) + "\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("\r\n".join([*ROWS, "", ""]), "utf-8-sig"),
        ("\r".join(ROWS), "utf-8"),
        (PLAIN.replace(",", ", "), "utf-8"),
        (PLAIN.replace(",", " ,"), "utf-8"),
        (PLAIN.replace(",", ";"), "utf-8"),
        (PLAIN.replace(",", "\t"), "utf-8"),
        ("sep=;\r\n" + PLAIN.replace(",", ";"), "utf-8-sig"),
        (PLAIN + ",,\n   \n\n", "utf-8"),
        (PLAIN.replace("True", "TRUE").replace("False", "FALSE"), "utf-8"),
        (PLAIN.replace("True", "true").replace("False", "0"), "utf-8"),
        (PLAIN.replace("True", "1").replace("False", "no"), "utf-8"),
        (PLAIN.replace("a.wav", '"a.wav"').replace("file", '"file"'), "utf-8"),
    ],
)
def test_tables_that_other_programs_saved_read_the_same(tmp_path, text, encoding):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    assert read_table(path, COLUMNS) == [
        {"file": "a.wav", "fold": 1, "checked": True},
        {"file": "b.wav", "fold": 2, "checked": False},
    ]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (
            PLAIN.encode("utf-16"),
            "table.csv, line 1: .*UTF-16; save it as CSV in UT",
        ),
        (PLAIN.encode("utf-16-le"), "table.csv, line 1: .*UTF-16"),
        (
            PLAIN.replace("b.wav", "\u00e9.wav").encode("latin-1"),
            "table.csv, line 3: not UTF-8 .*0xe9.*save the table as CSV in UTF-8",
        ),
        (
            PLAIN.replace("True", "WAHR").encode(),
            "line 2: .*'WAHR' is neither True ",
        ),
        (PLAIN.replace(",2", ",1_0").encode(), "line 3: .*'1_0' is not a whole"),
        (PLAIN.replace(",2", ",\u0662").encode(), "line 3: .*is not a whole number"),
    ],
)
def test_a_table_in_another_encoding_is_named_with_its_line(tmp_path, data, complaint):
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=complaint):
        read_table(path, COLUMNS)


LEADING_OUT = [
    "/etc/a.wav", "../a.wav", "sub/a.wav", "..", ".", "C:a.wav", "c:\\a.wav",
    "..\\a.wav", "\\\\host\\a.wav", "a\0.wav",
]  # fmt: skip


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_table_does_not_lead_out_of_its_folder(tmp_path, name):
    path = tmp_path / "table.csv"
    path.write_text(PLAIN.replace("b.wav", name))
    if "\0" in name:
        with pytest.raises(ValueError, match=r"table.csv, line"):
            read_table(path, COLUMNS)
        return
    with pytest.raises(ValueError, match=r"table.csv, line 3: .*not a plain file name"):
        read_table(path, COLUMNS)


def esc(root, names):
    (root / "meta").mkdir(parents=True)
    rows = [
        f"{name},{number // 2 + 1},{number % 2},{('dog', 'rain')[number % 2]},True,"
        f"r{number},A\n"
        for number, name in enumerate(names)
    ]
    header = "filename,fold,target,category,esc10,src_file,take\n"
    (root / "meta" / "esc50.csv").write_text(header + "".join(rows))
    (root / "audio").mkdir()


def urban(root, names):
    (root / "metadata").mkdir(parents=True)
    rows = [
        f"{name},r{number},0,1,1,{number // 2 + 1},{number % 2},"
        f"{('dog', 'rain')[number % 2]}\n"
        for number, name in enumerate(names)
    ]
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
    (root / "metadata" / "UrbanSound8K.csv").write_text(header + "".join(rows))
    for fold in range(1, 5):
        (root / "audio" / f"fold{fold}").mkdir(parents=True)


def kaggle(root, names):
    rows = [f"{name},{('Bark', 'Cello')[n % 2]},1\n" for n, name in enumerate(names)]
    root.mkdir(exist_ok=True)
    (root / "train.csv").write_text("fname,label,manually_verified\n" + "".join(rows))
    (root / "audio_train").mkdir()


CORPORA = {
    "esc50": (esc, esc50, "audio"),
    "urbansound8k": (urban, urbansound8k, "audio/fold3"),
    "fsdkaggle2018": (kaggle, fsdkaggle2018, "audio_train"),
}
NAMES = [f"{number}.wav" for number in range(6)]


@pytest.mark.parametrize("name", LEADING_OUT[:3])
@pytest.mark.parametrize("corpus", CORPORA)
def test_no_corpus_reads_beyond_its_folder(tmp_path, corpus, name):
    make, build, _ = CORPORA[corpus]
    make(tmp_path / "c", [*NAMES[:5], name])
    with pytest.raises(ValueError, match="line 7: .*is not a plain file name"):
        build(tmp_path / "c")


@pytest.mark.parametrize("corpus", CORPORA)
def test_files_beside_the_table_are_told(tmp_path, corpus):
    make, build, folder = CORPORA[corpus]
    make(tmp_path / "c", NAMES)
    for name in ("x.wav", "y.M4A", "4.wav.txt", "._4.wav", ".DS_Store"):
        (tmp_path / "c" / folder / name).touch()
    for number in range(6):
        folders = (tmp_path / "c").rglob("fold*" if corpus == "urbansound8k" else "au*")
        for each in folders:
            (each / f"{number}.wav").touch()
    notes = build(tmp_path / "c").notes
    if corpus == "urbansound8k":  # every fold holds the files of the others
        assert "0.wav, 0.wav, 0.wav, ...) not in" in notes[0]
    else:
        assert len(notes) == 1 and "left out: 2 files (x.wav, y.M4A) not in" in notes[0]


def test_rows_without_a_file_are_told_and_letters_may_differ(tmp_path):
    esc(tmp_path, NAMES)
    for name in ("0.wav", "1.WAV", "2.Wav", "3.wav"):
        (tmp_path / "audio" / name).touch()
    (tmp_path / "audio" / "4.wav").symlink_to(tmp_path / "audio" / "0.wav")
    corpus = esc50(tmp_path)
    (note,) = corpus.notes
    assert note.startswith("absent: 1 file (5.wav) that") and "esc50.csv lists" in note
    read = {
        each.id: each.load.args[0].name
        for split in SPLITS
        for each in corpus.utterances(split)
    }
    assert read["1"] == "1.WAV" and read["2"] == "2.Wav" and read["5"] == "5.wav"


def test_composed_letters_may_differ(tmp_path):
    esc(tmp_path, [*NAMES[:5], "caf\u00e9.wav"])
    for name in (*NAMES[:5], "cafe\u0301.wav"):
        (tmp_path / "audio" / name).touch()
    assert esc50(tmp_path).notes == ()


@pytest.mark.parametrize("corpus", CORPORA)
def test_one_class_is_refused(tmp_path, corpus):
    make, build, _ = CORPORA[corpus]
    make(tmp_path / "c", NAMES)
    options = {"esc50": {"classes": "dog"}, "fsdkaggle2018": {"classes": "Bark"}}
    if corpus == "urbansound8k":
        table = tmp_path / "c" / "metadata" / "UrbanSound8K.csv"
        lines = table.read_text().splitlines()
        table.write_text("\n".join([lines[0], *lines[1::2]]))
    with pytest.raises(ValueError, match="single class .(dog|Bark).*two classes"):
        build(tmp_path / "c", **options.get(corpus, {}))


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_wrong_folder_is_told_what_it_holds(tmp_path, corpus):
    make, build, folder = CORPORA[corpus]
    make(tmp_path / "c", NAMES)
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} holds c"):
        build(tmp_path)
    inner = tmp_path / "c" / folder.split("/")[0]
    with pytest.raises(FileNotFoundError, match=f"{inner} holds"):
        build(inner)


def test_control_characters_in_a_table_are_escaped(tmp_path):
    esc(tmp_path, [*NAMES[:5], "\x1b[31m5.wav"])
    corpus = esc50(tmp_path)
    ids = {each.id for split in SPLITS for each in corpus.utterances(split)}
    assert r"\x1b[31m5" in ids
    assert all("\x1b" not in note for note in corpus.notes)
