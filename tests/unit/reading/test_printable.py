"""What strangers wrote, shown to people: nothing that a terminal obeys, no line that pretends to be ours."""

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from genops_events.cli import terminal
from genops_events.cli.terminal import PeopleConsole, table
from genops_events.reading.printable import printable, printable_json, spreadsheet_cell

HOSTILE = "a\x1b[2Jb\x00c\nerror: forged\r\x9b31m\u202egnp.exe\ud800"
OBEYED = set("\x00\x1b\r\x9b\u202e\ud800")


def console(*, terminal: bool = False) -> tuple[PeopleConsole, io.StringIO]:
    out = io.StringIO()
    return PeopleConsole(file=out, force_terminal=terminal, highlight=False, soft_wrap=True, width=240), out


def test_controls_are_shown_as_escapes_and_all_else_as_it_is() -> None:
    assert printable(HOSTILE) == r"a\x1b[2Jb\x00c\nerror: forged\r\x9b31m\u202egnp.exe\ud800"
    assert printable("two\n\tlines\x1b", lines=True) == "two\n\tlines\\x1b"
    assert printable("Größe 你好 👩‍💻 نمی‌خواهم") == "Größe 你好 👩‍💻 نمی‌خواهم"


@given(st.text(alphabet=st.characters()))
def test_whatever_is_shown_is_one_line_that_any_terminal_takes(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert all(ord(one) >= 0x20 and not 0x7F <= ord(one) < 0xA0 for one in shown)
    shown.encode()


@given(
    st.recursive(
        st.text(alphabet=st.characters(codec="utf-8")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_means_the_same_afterwards(value: object) -> None:
    document = printable_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(document) == value
    assert not set(document) & OBEYED


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_gets_through_the_console_however_it_is_printed(*, terminal: bool) -> None:
    shown, out = console(terminal=terminal)
    others = Table(box=None)
    others.add_column(HOSTILE)
    others.add_row(HOSTILE)
    others.add_row(Text(HOSTILE, style="bold"))
    ours = table([HOSTILE], [[HOSTILE], [Text(HOSTILE, style="bold")]], title=HOSTILE, wraps=[HOSTILE])
    shown.print(HOSTILE, markup=False)
    shown.print(Text(HOSTILE))
    shown.print(others)
    shown.print(ours)
    shown.lines(HOSTILE)
    with Live(others, console=shown, auto_refresh=False) as live:
        live.update(ours, refresh=True)
    plain = out.getvalue()
    assert "\x1b[2J" not in plain
    assert not set(plain) & (OBEYED - {"\x1b", "\r"})
    assert r"\x1b[2J" in plain
    if not terminal:
        assert not set(plain) & OBEYED


def test_a_string_or_a_cell_of_others_cannot_pretend_to_be_a_line_of_ours() -> None:
    shown, out = console()
    others = Table(box=None, show_header=False)
    others.add_row("[bold]id", Text(HOSTILE))
    shown.print("reason: " + HOSTILE, markup=False)
    shown.print(others)
    assert not [line for line in out.getvalue().splitlines() if line.strip().startswith("error:")]
    assert "[bold]id" in out.getvalue()
    assert len(out.getvalue().splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("http://evil","x")', '\'=HYPERLINK("http://evil","x")'),
        ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-12.5e-3", "-12.5e-3"),
        ("+4", "+4"),
        ("plain = text", "plain = text"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(text: str, cell: str) -> None:
    assert spreadsheet_cell(text) == cell


def test_a_table_takes_no_lines_and_no_markup_from_what_it_holds_whichever_console_prints_it() -> None:
    out = io.StringIO()
    made = table(
        ("[red]id", "cost"),
        [("[bold]a\nerror: forged", "$1"), (Text("held\x1b[2J", style="red"), "$10")],
        title="[blink]all\nof it",
        numbers=("cost",),
    )
    Console(file=out, width=60).print(made)
    assert [line.rstrip() for line in out.getvalue().splitlines()] == [
        r"[blink]all\nof it",
        r"[red]id                 cost",
        r"[bold]a\nerror: forged    $1",
        r"held\x1b[2J              $10",
    ]


def test_on_a_narrow_terminal_only_the_columns_that_may_wrap_do() -> None:
    out = io.StringIO()
    made = table(("id", "reason"), [("banking77-0123456789abcdef", "one two three four five six")], wraps=("reason",))
    Console(file=out, width=45).print(made)
    _, first, *rest = (line.split() for line in out.getvalue().splitlines())
    assert first[0] == "banking77-0123456789abcdef"
    assert [*first[1:], *(word for line in rest for word in line)] == ["one", "two", "three", "four", "five", "six"]
    assert rest


def test_every_table_of_the_command_is_made_in_one_place() -> None:
    folder = Path(terminal.__file__).parent
    makers = {file.name for file in folder.glob("*.py") if re.search(r"\bTable\(", file.read_text(encoding="utf-8"))}
    assert makers == {"terminal.py"}
