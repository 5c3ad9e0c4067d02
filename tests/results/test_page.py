import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from results.figures import Figure
from results.page import Page, Section, Table, cell_text, pairs, percent, quantity, render, table_of, write_page
from search_spaces.errors import RunFolderError

EVIL = "<script>alert('x')</script>\"'&{{ 7 * 7 }}</pre>"


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.scripts, self.comments = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_comment(self, data):
        self.comments.append(data)

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.texts.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page(text=EVIL):
    figure = Figure(
        name="one",
        data=[{"type": "scatter", "x": [1], "y": [2], "text": [text]}],
        layout={"title": {"text": text}},
        columns={text: [text, 1, None]},
        height_px=300,
        frames=[[{"x": [1]}]],
    )
    section = Section(
        heading=text,
        note=text,
        figures=[figure],
        slider=[text],
        table=Table(headings=[text], rows=[[text]]),
        folded=[(text, text)],
    )
    sections = [section, Section(heading="last")]
    return Page(title=text, status=text, facts=[(text, text)], sections=sections, warnings=[text])


def test_what_comes_from_a_run_is_escaped_everywhere():
    read = Reader(render(page()))
    assert len(read.named("script")) == 3
    assert sum(EVIL in text for text in read.texts) == 12
    assert not read.comments
    (slider,) = read.named("input")
    assert json.loads(slider["data-labels"]) == [EVIL]
    (figure,) = json.loads(read.scripts[0])
    assert figure["layout"]["title"]["text"] == EVIL
    assert {div.get("id") for div in read.named("div")} == {None, "figure-one"}


def test_nothing_is_loaded_and_only_our_scripts_run():
    text = render(page("plain"))
    read = Reader(text)
    loading = {"src", "href", "srcset", "data", "action", "poster", "background"}
    assert not [(tag, name) for tag, attributes in read.tags for name in attributes if name in loading]
    assert not {"link", "iframe", "img", "object", "embed", "base", "form"} & {tag for tag, _ in read.tags}
    ours = text.replace(read.scripts[1], "")
    assert "http:" not in ours
    assert "https:" not in ours
    assert "url(" not in ours
    policy = next(meta["content"] for meta in read.named("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in read.scripts[1:]]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    assert policy.startswith(f"default-src 'none'; script-src {allowed}; style-src")
    assert read.scripts[1].count("plotly.js") > 0


def test_both_schemes_and_small_screens():
    text = render(page("plain"))
    assert "prefers-color-scheme: dark" in text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    for scheme in re.findall(r"(?:light|dark): \{ text.*?\}", text, re.DOTALL):
        assert set(re.findall(r"(\w+): \"#", scheme)) == {"text", "grid", "page", "cell", *(f"c{n}" for n in range(6))}


def test_tables():
    table = table_of([{"layer": "b1", "macs": 1234567, "se": True}, {"layer": "b2", "macs": None, "width": 0.75}])
    assert table.headings == ["layer", "macs", "se", "width"]
    assert table.rows == [["b1", "1,234,567", "yes", ""], ["b2", "", "", "0.75"]]
    assert table.numeric == {1, 3}
    assert pairs([("a", 1)]).rows == [("a", "1")]
    assert [cell_text(cell) for cell in (None, False, 1000, 1 / 3, "x")] == ["", "no", "1,000", "0.33333", "x"]


@pytest.mark.parametrize(
    ("value", "text"), [(5_980_000, "5.98M"), (2.7e9, "2.7G"), (1500, "1.5k"), (12, "12"), (0.25, "0.25"), (3e12, "3T")]
)
def test_quantities(value, text):
    assert quantity(value) == text


def test_percent():
    assert (percent(0.6123), percent(None)) == ("61.2 %", "–")


def test_names_and_cells_of_a_run_do_no_harm_in_files(tmp_path):
    evil = Figure(name="../<b>", data=[], layout={}, columns={"=1+1": ["=cmd", "-1", 2, -0.5, None]}, height_px=100)
    write_page(
        tmp_path / "report.html", Page(title="", status="", facts=[], sections=[Section(heading="", figures=[evil])])
    )
    (path,) = (tmp_path / "report_csv").iterdir()
    assert path.name == "____b_.csv"
    assert path.read_text() == "'=1+1\n'=cmd\n'-1\n2\n-0.5\n\"\"\n"


def test_a_page_that_cannot_be_written(tmp_path):
    with pytest.raises(RunFolderError, match=r"report.html: must be writable, but got No such file"):
        write_page(tmp_path / "nowhere" / "report.html", page("plain"))
