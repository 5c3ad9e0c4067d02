"""What people see."""

import json

import pytest

from launch import console


@pytest.mark.parametrize(("seconds", "text"), [(3.4, "3 s"), (200, "3 min 20 s"), (7260, "2 h 1 min")])
def test_durations(seconds, text):
    assert console.duration(seconds) == text


def test_results_go_to_stdout_and_the_rest_to_stderr(capsys):
    console.show("[bold]a result[/bold]")
    console.log("a log")
    console.error("an error")
    captured = capsys.readouterr()
    assert captured.out == "[bold]a result[/bold]\n"
    assert captured.err == "a log\nmovinas: an error\n"


def test_a_table_holds_every_cell(capsys):
    console.show_table("Title", ("name", "value"), [("a", "1.5"), ("b", 2)])
    out = capsys.readouterr().out
    assert all(text in out for text in ("Title", "name", "value", "1.5", "2"))


def test_json_is_one_document(capsys):
    console.show_json({"a": [1, 2.5, None]})
    assert json.loads(capsys.readouterr().out) == {"a": [1, 2.5, None]}


def test_json_by_the_line(capsys):
    for number in range(2):
        console.show_json_line({"b": "ü", "a": [number, None]})
    assert capsys.readouterr().out == '{"a":[0,null],"b":"\\u00fc"}\n{"a":[1,null],"b":"\\u00fc"}\n'


def test_progress_away_from_a_terminal_ends_with_its_last_line(capsys):
    progress = console.Progress("work", total=3)
    for done in (1, 2, 3):
        progress.update(done, "text")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("work 3/3")
    assert lines[0].endswith("text")


def test_names_from_files_command_no_terminal(capsys):
    evil = "\x1b[2J[/red]\u202e\ud800"
    console.show(f"a {evil}\n\tb")
    console.log(evil)
    console.error(evil)
    console.show_table(evil, (evil, "[bold]b"), [(evil, "[link=x]c")])
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert "\\x1b[2J[/red]\\u202e\\ud800" in text
        assert "\x1b" not in text
    assert captured.out.startswith("a \\x1b")
    assert "[bold]b" in captured.out
    assert "[link=x]c" in captured.out
