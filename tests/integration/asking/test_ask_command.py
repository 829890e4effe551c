"""`genops ask`: answers on standard output, all else on standard error, and exit codes that a script can go by."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from asked import (
    AT_ONCE,
    FOLDERS,
    MODEL,
    answered_then_silent,
    champion_of,
    change,
    entries,
    lines,
    objects,
    reserved,
    spent,
)
from cloud import DATASET, StandIns, until
from typer.testing import CliRunner, Result
from waiting import HANG_SECONDS

from genops_events.cli import app
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini import calls
from genops_events.gemini.kept import KeptRows
from genops_events.record.asks import parts_prefix

RUN = re.compile(r"ask-[0-9a-f]{16}")
OFF = ("--set", 'thinking={"budget_tokens": 0}')
SHORT = ("--set", "max_output_tokens=100", *OFF)


def ask(*words: str, expect: int = 0, stdin: str | None = None) -> Result:
    done = CliRunner().invoke(app, ["ask", *words], input=stdin)
    assert done.exit_code == expect, done.output
    return done


def one_line(text: str) -> str:
    return " ".join(text.split())


def without_warnings(text: str) -> str:
    """Return what was said but for what is said of models that end, which depends on the day."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("warning: "))


def prompt_file(tmp_path: Path, *rows: object) -> str:
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return str(file)


def test_the_answer_alone_goes_to_standard_output(config: Config, store: RecordStore) -> None:
    done = ask("where is my card", "--model", MODEL, *SHORT)
    assert done.stdout == "where is my card\n"
    [run] = entries(store)
    assert without_warnings(done.stderr).strip() == (
        f"{MODEL}: 6 input and 6 output tokens, $0.000017 of at most $0.000252 ({run})"
    )
    assert ask("-", "--model", MODEL, stdin="from a pipe\n").stdout == "from a pipe\n"


def test_json_has_the_answer_its_tokens_and_its_cost(config: Config, store: RecordStore) -> None:
    candidate = champion_of(config, store)
    done = ask("where is my card", "--dataset", DATASET, "--system", "", *SHORT, "--json")
    found = json.loads(done.stdout)
    assert (found["answer"], found["state"], found["champion"]) == ("where is my card", "complete", candidate)
    assert (found["input_tokens"], found["output_tokens"], found["cost_usd"]) == (6, 6, "0.000017")
    assert found["run"] in entries(store)
    assert f"{candidate} (champion of {DATASET}): 6 input" in done.stderr


def test_a_file_is_answered_row_by_row_and_what_has_no_answer_is_told(
    config: Config, cloud: StandIns, store: RecordStore, tmp_path: Path
) -> None:
    cloud.vertex.faults(refused_text="unlucky", error_methods=["generateContent"])
    file = prompt_file(tmp_path, {"id": "a", "prompt": "one"}, "{nonsense", {"prompt": "unlucky"}, {"prompt": "two"})
    done = ask("--file", file, "--model", MODEL, *SHORT, expect=3)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["id"], row["answer"]) for row in rows] == [("a", "one"), ("line-4", "two")]
    [run] = entries(store)
    failed = lines(store, f"genops/asks/{run}/failures.jsonl")
    assert [row["line"] for row in failed] == [2, 3]
    told = one_line(done.stderr)
    assert f"{run}: {MODEL}: 3 prompts (1 further row cannot be asked)" in told
    assert "Answered 2 of 4 prompts. Most often: " in told
    assert f"gs://{store.bucket.name}/genops/asks/{run}/failures.jsonl" in told
    assert reserved(store) == 0
    store.bucket.blob("mine.jsonl").upload_from_filename(file)
    found = json.loads(
        ask("--file", f"gs://{store.bucket.name}/mine.jsonl", "--model", MODEL, "--json", expect=3).stdout
    )
    assert (found["prompts"], found["answered"], found["failed"]) == (4, 2, 2)


def test_rows_with_settings_of_their_own_are_within_the_budget_too(
    config: Config, store: RecordStore, tmp_path: Path
) -> None:
    form = {"type": "object", "properties": {"intent": {"type": "string"}}}
    file = prompt_file(tmp_path, {"prompt": "one", "response_json_schema": form}, {"prompt": "two", "temperature": 1})
    done = ask("--file", file, "--model", MODEL, *SHORT)
    first, second = [json.loads(line)["answer"] for line in done.stdout.splitlines()]
    assert (json.loads(first), second) == ({"intent": "one"}, "two")
    assert reserved(store) == 0


def test_counting_alone_says_tokens_characters_and_most_cost_and_pays_nothing(
    config: Config, cloud: StandIns, store: RecordStore, tmp_path: Path
) -> None:
    before = cloud.vertex_calls("generateContent")
    done = ask("where is my card", "--model", MODEL, *SHORT, "--count-only")
    assert done.stdout == ""
    assert one_line(without_warnings(done.stderr)) == (
        f"{MODEL}: one prompt, 6 input tokens, 13 billable characters, answers of up to 100 tokens: "
        "at most $0.000252, the budget is $1.00. Nothing was asked."
    )
    file = prompt_file(tmp_path, {"prompt": "one"}, {"prompt": "two words", "max_output_tokens": 10}, "{")
    found = json.loads(ask("--file", file, "--model", MODEL, *SHORT, "--count-only", "--json").stdout)
    assert (found["prompts"], found["bad_rows"], found["input_tokens"]) == (2, 1, 4)
    assert (found["longest_answers"], found["billable_characters"]) == (110, 11)
    assert (found["over_budget"], found["over_limit"]) == (False, None)
    over = ask("--file", file, "--model", MODEL, *SHORT, "--count-only", "--budget", "0.0001", expect=2)
    assert "The budget is $0.0001: " in over.stderr
    change(tmp_path, budget={"monthly_usd": 0.0001})
    assert "the project has" in ask("one", "--model", MODEL, *SHORT, "--count-only", expect=2).stderr
    assert cloud.vertex_calls("generateContent") == before
    assert (entries(store), objects(store)) == ({}, [])


def test_over_budget_is_an_exit_code_of_its_own_and_asks_nobody(
    config: Config, cloud: StandIns, store: RecordStore, tmp_path: Path
) -> None:
    before = cloud.vertex_calls("generateContent")
    done = ask("one two", "--model", MODEL, *SHORT, "--budget", "0.0001", expect=2)
    assert done.stdout == ""
    told = one_line(done.stderr)
    assert "over budget: Asking gemini-2.5-flash may cost $0.000251" in told
    assert "Raise --budget, or set a smaller max_output_tokens, or less thinking, with --set." in told
    change(tmp_path, ask={"budget_usd": 0.0002})
    assert "The budget is $0.0002" in one_line(ask("one two", "--model", MODEL, *SHORT, expect=2).stderr)
    assert cloud.vertex_calls("generateContent") == before
    assert entries(store) == {}


def test_a_command_lowers_what_genops_yaml_allows_and_never_raises_it(
    config: Config, cloud: StandIns, store: RecordStore, tmp_path: Path
) -> None:
    before = cloud.vertex_calls("generateContent")
    refused = ask("one two", "--model", MODEL, *SHORT, "--budget", "1.01", expect=1)
    assert "--budget is $1.01, and genops.yaml allows $1.00 (`ask.budget_usd`)" in one_line(refused.stderr)
    change(tmp_path, ask={})
    unlimited = one_line(ask("one two", "--model", MODEL, *SHORT, "--budget", "0.5", expect=1).stderr)
    assert "Nothing in genops.yaml limits what asking a model costs. Set `ask: {budget_usd: 1}`" in unlimited
    ask("one two", "--model", MODEL, *SHORT, "--count-only")
    assert cloud.vertex_calls("generateContent") == before
    assert (entries(store), objects(store)) == ({}, [])
    change(tmp_path, budget={"monthly_usd": 100})
    assert ask("one two", "--model", MODEL, *SHORT, "--budget", "5").stdout == "one two\n"


def test_a_run_that_is_taken_up_again_is_held_to_what_genops_yaml_allows_by_then(
    config: Config, cloud: StandIns, store: RecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "TRIES", 1)
    cloud.vertex.faults(error_share=1, error_methods=["generateContent"])
    run = RUN.search(ask("one two", "--model", MODEL, *SHORT, expect=1).stderr)
    assert run is not None
    cloud.vertex.faults()
    change(tmp_path, ask={"budget_usd": 0.0001})
    before = cloud.vertex_calls("generateContent")
    refused = one_line(ask("--run", run[0], expect=2).stderr)
    assert f"What {run[0]} costs at most is $0.0002" in refused
    assert "genops.yaml allows $0.0001 (`ask.budget_usd`)" in refused
    assert cloud.vertex_calls("generateContent") == before
    assert reserved(store) == 0
    change(tmp_path, ask={"budget_usd": 1})
    assert ask("--run", run[0]).stdout == "one two\n"


def test_a_blocked_empty_or_cut_answer_is_told_with_its_reason_and_an_exit_code(
    config: Config, cloud: StandIns
) -> None:
    cloud.vertex.faults(blocked_text="forbidden")
    blocked = ask("the forbidden word", "--model", MODEL, expect=3)
    assert blocked.stdout == ""
    assert "blocked: the prompt was blocked: " in blocked.stderr
    cloud.vertex.faults(refused_text="unlucky", error_methods=["generateContent"])
    refused = ask("the unlucky one", "--model", MODEL, expect=3)
    assert "not answered: Could not ask gemini-2.5-flash: 400 " in one_line(refused.stderr)
    cloud.vertex.faults(empty_text="riddle")
    empty = ask("a riddle", "--model", MODEL, expect=3)
    assert empty.stdout == ""
    assert "empty: the answer is empty: the model ended and said nothing" in empty.stderr
    cut = ask("one two three four", "--model", MODEL, "--set", "max_output_tokens=2", *OFF, expect=3)
    assert cut.stdout == "one tw\n"
    assert "cut: the answer reached max_output_tokens" in cut.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Neither PROMPT nor --file is filled in, and one of them is needed. Neither --model nor --dataset"),
        (("x", "--file", "y.jsonl", "--model", MODEL), "Both PROMPT and --file are filled in"),
        (("x", "--model", "gemini-9"), "--model: No price is known for the model 'gemini-9'"),
        (("x", "--dataset", "banking78"), f"Did you mean `{DATASET}`?"),
        (("x", "--dataset", DATASET), "banking77 has no champion: no candidate was promoted yet."),
        (("x", "--model", MODEL, "--set", "warm"), "--set must be KEY=VALUE, such as temperature=0.2; it is 'warm'."),
        (("x", "--model", MODEL, "--set", "temperature=9"), "--set: temperature"),
        (("x", "--model", MODEL, "--budget", "lots"), "--budget must be US dollars, 0 or more; it is 'lots'."),
        (("--file", "nowhere.jsonl", "--model", MODEL), "--file: nowhere.jsonl is no file here."),
        (
            ("--file", "gs://no-such-bucket-here/a.jsonl", "--model", MODEL),
            "--file must name a file of prompts (JSON Lines)",
        ),
        (("--file", "gs://folder-only/", "--model", MODEL), "--file must name a file of prompts (JSON Lines)"),
        (
            ("x", "--attach", "page.pdf", "--model", MODEL),
            "is no address of an object: it must read gs://BUCKET/OBJECT",
        ),
        (("--run", "ask-0123456789abcdef"), "The record knows no run 'ask-0123456789abcdef'"),
        (("x", "--run", "ask-0123456789abcdef"), "--run goes on with what was asked then"),
    ],
)
def test_a_mistake_is_told_by_its_option_and_nothing_is_asked(
    config: Config, cloud: StandIns, words: tuple[str, ...], told: str
) -> None:
    before = cloud.vertex_calls("generateContent")
    done = ask(*words, expect=1)
    assert told in one_line(done.stderr)
    assert done.stdout == ""
    assert cloud.vertex_calls("generateContent") == before


def test_what_failed_goes_on_by_its_id_and_an_ended_run_shows_its_answer_again_for_nothing(
    config: Config, cloud: StandIns, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "TRIES", 1)
    cloud.vertex.faults(error_share=1, error_methods=["generateContent"])
    failed = ask("where", "--model", MODEL, *OFF, expect=1)
    assert reserved(store) == 0
    found = RUN.search(failed.stderr)
    assert found is not None
    assert f"`genops ask --run {found[0]}` goes on" in failed.stderr
    assert without_warnings(failed.stderr).startswith("error: ")
    cloud.vertex.faults()
    before = cloud.vertex_calls("generateContent")
    assert ask("--run", found[0]).stdout == "where\n"
    assert ask("--run", found[0]).stdout == "where\n"
    assert cloud.vertex_calls("generateContent") == before + 1
    # The first try was settled with nothing, the second has an entry of its own.
    assert {name: entry.spent_usd for name, entry in entries(store).items()} == {
        found[0]: Decimal(0),
        f"{found[0]}-2": Decimal("0.000006"),
    }


def test_a_run_that_grows_dearer_than_its_budget_is_stopped(
    config: Config, cloud: StandIns, store: RecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = prompt_file(tmp_path, *({"prompt": f"prompt number {number}"} for number in range(10)))
    monkeypatch.setattr(calls, "TRIES", 1)
    cloud.vertex.faults(error_share=1, error_methods=["generateContent"])
    failed = ask("--file", file, "--model", MODEL, *SHORT, "--budget", "0.003", expect=1)
    run = RUN.search(failed.stderr)
    assert run is not None
    cloud.vertex.faults()
    # Somebody corrects the prices before it goes on: four times what it was settled by.
    prices = '[models."gemini-2.5-flash".prices.usd_per_million_tokens]\ninput = 1.2\noutput = 10.0\n'
    (tmp_path / "models.toml").write_text(f'as_of = 2026-11-23\nsource = "a bill"\n{prices}', encoding="utf-8")
    change(tmp_path, models="models.toml")
    before = cloud.vertex_calls("generateContent")
    done = ask("--run", run[0], "--json", expect=3)
    found = json.loads(done.stdout)
    assert 0 < found["answered"] < 10
    assert found["answered"] + found["failed"] == 10
    assert cloud.vertex_calls("generateContent") == before + found["answered"]
    left = lines(store, f"genops/asks/{run[0]}/failures.jsonl")
    assert all("not asked, since the budget of $0.003 is used up: " in row["reason"] for row in left)
    assert Decimal(found["cost_usd"]) == spent(store) < Decimal("0.003")


_FEW_AT_ONCE = "import sys; sys.path[:0] = sys.argv.pop(1).split(':'); from asked import few_at_once; few_at_once(); "
_GENOPS = [sys.executable, "-c", f"{_FEW_AT_ONCE}from genops_events.cli import app; app()", FOLDERS]


def _kept(store: RecordStore, run: str) -> int:
    """Return how many answers of a run are kept."""
    return sum(1 for _ in KeptRows(store.bucket, parts_prefix(run)).in_order())


def _long_file(tmp_path: Path, rows: int) -> str:
    return prompt_file(tmp_path, *({"prompt": f"prompt number {number}"} for number in range(rows)))


def test_killed_amid_a_file_it_keeps_its_reservation_and_goes_on_with_the_rest(
    config: Config, cloud: StandIns, store: RecordStore, tmp_path: Path
) -> None:
    rows = 400
    change(tmp_path, requests_per_minute=6000, ask={"budget_usd": 100})
    answered_then_silent(cloud, rows // 2)
    before = cloud.vertex_calls("generateContent")
    command = [*_GENOPS, "ask", "--file", _long_file(tmp_path, rows), "--model", MODEL, "--budget", "100", *SHORT]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        until(lambda: cloud.vertex.delayed() == {"generateContent": AT_ONCE})
        [run] = entries(store)
        until(lambda: _kept(store, run) == rows // 2, what="what is answered is kept")
        process.send_signal(signal.SIGKILL)
    [(run, entry)] = entries(store).items()
    held = entry.purposes["asking"].reserved_usd
    assert held > 0
    cloud.vertex.faults()
    done = ask("--run", run)
    assert [json.loads(line)["number"] for line in done.stdout.splitlines()] == list(range(rows))
    assert cloud.vertex_calls("generateContent") - before - rows == AT_ONCE, "those in flight, and nothing else"
    [posted] = entries(store).values()
    assert posted.purposes["asking"].estimated_usd == held
    assert (reserved(store), spent(store)) == (
        Decimal(0),
        Decimal(json.loads(ask("--run", run, "--json").stdout)["cost_usd"]),
    )


@pytest.fixture
def ctrl_c_counts() -> Iterator[None]:
    """Whoever runs the tests in the background has Ctrl-C ignored, and with it all that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_counts")
def test_stopped_by_ctrl_c_it_settles_what_is_answered_and_what_was_under_way(
    config: Config, cloud: StandIns, store: RecordStore, tmp_path: Path
) -> None:
    change(tmp_path, requests_per_minute=6000, ask={"budget_usd": 100})
    answered_then_silent(cloud, 100)
    command = [*_GENOPS, "ask", "--file", _long_file(tmp_path, 400), "--model", MODEL]
    with subprocess.Popen([*command, "--budget", "100", *SHORT], stderr=subprocess.PIPE, text=True) as process:
        until(lambda: cloud.vertex.delayed() == {"generateContent": AT_ONCE})
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 130
    [run] = entries(store)
    assert f"Stopped. `genops ask --run {run}` goes on" in told
    [entry] = entries(store).values()
    posting = entry.purposes["asking"]
    assert posting.settled
    assert posting.estimated_usd is not None
    assert Decimal(0) < posting.spent_usd < posting.estimated_usd
