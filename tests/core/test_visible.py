"""Text of others: nothing in it is obeyed by a terminal, a shell, a reader of JSON or a spreadsheet."""

import csv
import io
import json
import shutil
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fourtuple.core.visible import csv_lines, shell_words, visible, visible_json
from tests.conftest import need

# Also lone surrogates, as of names that are not UTF-8.
TEXT = st.text(st.characters(), max_size=20) | st.text(
    st.sampled_from("a'\"\\=\x1b\x07\n\r\t\x7f\x85\x9b\xa0\u200f\u202e\u2066\u2028\udc80\ud800\U000e0041é→"),
    max_size=20,
)
SHOWN = {
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "one\ntwo\r\tthree": r"one\ntwo\r\tthree",
    "\x00\x7f\x80\x9b31m": r"\x00\x7f\x80\x9b31m",
    "\u202aa\u202eb\u2066c\u2069": r"\u202aa\u202eb\u2066c\u2069",
    "\u200b\u200f\u2028\ufeff": r"\u200b\u200f\u2028\ufeff",
    "\udcff\udc80 \ud800": r"\xff\x80 \ud800",
    "\U000e0041": r"\U000e0041",
    r"C:\new — ▸ → ✓ µ ≤ ▁█ …": r"C:\new — ▸ → ✓ µ ≤ ▁█ …",
    "名前 café 🙂": "名前 café 🙂",
}


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_not_printable_is_an_escape(text: str) -> None:
    assert visible(text) == SHOWN[text]


@given(TEXT)
def test_everything_visible_is_printable_and_stays_as_it_is(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(visible(text)) == visible(text)
    visible(text).encode()  # it is UTF-8


@given(st.dictionaries(TEXT, TEXT | st.integers() | st.lists(TEXT)))
def test_json_means_the_same(value: object) -> None:
    text = visible_json(json.dumps(value, ensure_ascii=False))

    assert text.isprintable()
    assert json.loads(text) == json.loads(json.dumps(value))


@given(st.lists(st.lists(TEXT | st.integers() | st.none(), min_size=2, max_size=2)))
def test_each_row_of_csv_is_one_line_with_its_cells(rows: list[list[object]]) -> None:
    lines = list(csv_lines(["one", "two"], rows))

    assert all(line.isprintable() for line in lines)
    read = list(csv.reader(io.StringIO("\n".join(lines))))
    assert read[0] == ["one", "two"]
    assert len(read) == len(rows) + 1
    assert [[cell.removeprefix("'") for cell in row] for row in read[1:]] == [
        ["" if cell is None else visible(str(cell)).removeprefix("'") for cell in row] for row in rows
    ]


def test_no_text_is_a_formula_and_numbers_stay_numbers() -> None:
    cells = ["=1+1", "+1", "-1", "@SUM(A1)", "＝1", "a=1", "10.0.0.1:80", "", -1, 2.5, None]

    assert list(csv_lines(None, [cells])) == ["'=1+1,'+1,'-1,'@SUM(A1),'＝1,a=1,10.0.0.1:80,,-1,2.5,"]


@given(st.lists(TEXT.filter(lambda text: "\0" not in text), min_size=1, max_size=5))
@example(["a b", "it's", "\x1b]0;x\x07\n", "\u202e", "\\x41", "\x01f", ""])
def test_a_command_line_is_printable(words: list[str]) -> None:
    assert shell_words(words).isprintable()


def test_a_command_line_can_be_pasted() -> None:
    """The shell makes the same bytes of it, also those that are not UTF-8."""
    need(shutil.which("bash"), "bash")
    words = ["a b", "it's", 'say "$HOME"', "\x1b]0;x\x07", "two\nlines\t\r", "\u202e\u2069", "\\x41\x01f", "\udcffé"]
    words += ["", *map(chr, range(1, 0xA1))]
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {shell_words(words)}"], capture_output=True, check=True)

    assert done.stdout.split(b"\0")[:-1] == [word.encode(errors="surrogateescape") for word in words]
