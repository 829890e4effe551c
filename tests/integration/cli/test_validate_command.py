"""`genops validate` as a user runs it: a process of its own, with neither a cloud nor Airflow."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from usual import usual_config, usual_settings
from waiting import HANG_SECONDS

from genops_events.cli.validate import UnusableInput, _chunks

ROOT = Path(__file__).resolve().parents[3]
TRAIN = ROOT / "examples" / "banking77" / "train.jsonl"
CONFIG = ROOT / "examples" / "genops.yaml"
GOOD = TRAIN.read_bytes().splitlines(keepends=True)[:40]
BAD = GOOD[0].replace(b'"model"', b'"assistant"')


def genops(
    *arguments: object, folder: Path, config: Path | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GENOPS_")}
    environment |= {"GENOPS_CONFIG": str(config)} if config else {}
    command = [sys.executable, "-m", "genops_events.cli", "validate", *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, input=stdin, capture_output=True, timeout=HANG_SECONDS, check=False
    )


def said_in(output: bytes) -> list[str]:
    """Return the lines but for what is said of models that end, which depends on the day."""
    return [line for line in output.decode().splitlines() if not line.startswith("warning: ")]


def written(folder: Path, *lines: bytes, name: str = "train.jsonl") -> Path:
    file = folder / name
    file.write_bytes(b"".join(lines))
    return file


def changed(folder: Path, **keys: Any) -> Path:
    """Return a genops.yaml with these keys of its only dataset changed."""
    settings = usual_settings()
    settings["datasets"]["banking77"] |= keys
    file = folder / "genops.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


def test_a_good_file_is_valid_and_says_what_tuning_costs(tmp_path: Path) -> None:
    done = genops(TRAIN, folder=tmp_path, config=usual_config(tmp_path))
    said = "\n".join(said_in(done.stderr))
    assert (done.returncode, done.stdout) == (0, b""), said
    assert said.startswith("valid: ")
    assert "770 examples, about 49,367 tokens" in said
    assert "about 0.74 USD for 3 epochs of gemini-2.5-flash" in said


def test_a_bad_file_is_named_line_by_line(tmp_path: Path) -> None:
    done = genops(written(tmp_path, *GOOD, BAD, b"{}\n"), folder=tmp_path, config=usual_config(tmp_path))
    said = said_in(done.stderr)
    assert done.returncode == 2
    assert said[0].startswith("not valid: ")
    rows = [row.split()[:3] for row in said if row.strip().startswith("4")]
    column = BAD.index(b'"role": "assistant"') + 1
    assert ["41", str(column), "wrong_role"] in rows
    assert ["42", "-", "missing_contents"] in rows


def test_only_a_hundred_problems_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    done = genops(
        written(tmp_path, *GOOD, *[BAD] * 90, *[b"{}\n"] * 30), folder=tmp_path, config=usual_config(tmp_path)
    )
    said = done.stderr.decode()
    assert "and 20 more: missing_contents 20" in said
    assert said.count("wrong_role") == 1 + 90  # the summary has it, too


def test_json_is_all_that_goes_to_standard_output(tmp_path: Path) -> None:
    done = genops(written(tmp_path, *GOOD, BAD), "--json", folder=tmp_path, config=usual_config(tmp_path))
    document = json.loads(done.stdout)
    assert (done.returncode, said_in(done.stderr)) == (2, [])
    assert (document["valid"], document["dataset"], document["epochs"]) == (False, "banking77", 3)
    assert document["training"]["problems"][0]["reason"] == "wrong_role"
    assert document["validation"] is None


def test_standard_input_is_read_where_the_file_is_a_dash(tmp_path: Path) -> None:
    done = genops("-", "--json", folder=tmp_path, config=usual_config(tmp_path), stdin=b"".join(GOOD))
    assert (done.returncode, json.loads(done.stdout)["training"]["examples"]) == (0, 40)


def test_quarantine_is_the_datasets_policy(tmp_path: Path) -> None:
    config = changed(tmp_path, invalid_lines="quarantine")
    done = genops(written(tmp_path, *GOOD, BAD), folder=tmp_path, config=config)
    assert done.returncode == 0
    assert b"40 of 41 examples" in done.stderr
    assert b"1 invalid line in quarantine (wrong_role 1)" in done.stderr
    few = genops(written(tmp_path, *GOOD[:10], BAD), folder=tmp_path, config=config)
    assert few.returncode == 2


def test_leakage_into_the_validation_file_is_a_warning(tmp_path: Path) -> None:
    validation = written(tmp_path, *GOOD[5:8], name="validation.jsonl")
    done = genops(TRAIN, "--validation", validation, folder=tmp_path, config=usual_config(tmp_path))
    assert done.returncode == 0
    assert b"3 examples are also in the validation file: line 6 (line 1 there), 7 (line 2 there)" in done.stderr


def test_a_bad_validation_file_is_not_valid(tmp_path: Path) -> None:
    validation = written(tmp_path, BAD, name="validation.jsonl")
    done = genops(TRAIN, "--validation", validation, "--json", folder=tmp_path, config=usual_config(tmp_path))
    document = json.loads(done.stdout)
    assert (done.returncode, document["valid"]) == (2, False)
    assert (document["training"]["valid"], document["validation"]["valid"]) == (True, False)


def test_a_validation_file_that_genops_yaml_names_is_missed(tmp_path: Path) -> None:
    config = changed(tmp_path, tuning={"validation_file": "evaluation/validation.jsonl"})
    done = genops(TRAIN, folder=tmp_path, config=config)
    assert done.returncode == 0
    assert b"note: the dataset banking77 has the validation file evaluation/validation.jsonl" in done.stderr


def test_without_genops_yaml_the_usual_model_is_taken_with_a_note(tmp_path: Path) -> None:
    done = genops(TRAIN, folder=tmp_path)
    assert done.returncode == 0
    assert b"note: there is no genops.yaml, so the file was checked for gemini-3.5-flash" in done.stderr
    assert b"note: No price is known for training tokens of gemini-3.5-flash" in done.stderr
    named = genops(TRAIN, "--model", "gemini-2.5-pro", folder=tmp_path)
    assert named.returncode == 0
    assert b"of gemini-2.5-pro" in named.stderr
    assert b"note:" not in named.stderr


def pairs(number: int = 20) -> list[bytes]:
    """Return lines for preference tuning, made of good examples."""
    worse = {"score": 0, "completion": {"role": "model", "parts": [{"text": "no"}]}}
    made = []
    for line in GOOD[:number]:
        prompt, best = json.loads(line)["contents"]
        made.append({"contents": [prompt], "completions": [{"score": 1, "completion": best}, worse]})
    return [json.dumps(one).encode() + b"\n" for one in made]


def test_pairs_are_valid_where_the_dataset_or_the_option_says_so_and_their_price_is_doubted(tmp_path: Path) -> None:
    file = written(tmp_path, *pairs())
    done = genops(file, "--method", "preference", folder=tmp_path, config=usual_config(tmp_path))
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert "ready for preference tuning of gemini-2.5-flash" in said
    assert "note: Google's price of preference tuning is not in the price table" in said
    config = changed(tmp_path, tuning={"method": "preference"})
    document = json.loads(genops(file, "--json", folder=tmp_path, config=config).stdout)
    assert (document["valid"], document["method"]) == (True, "preference")
    assert float(document["tuning_usd_estimate"]) > 0
    assert "the price of supervised tuning was taken" in document["note"]


def test_a_file_for_another_method_is_told_so_once(tmp_path: Path) -> None:
    done = genops(written(tmp_path, *pairs()), "--json", folder=tmp_path, config=usual_config(tmp_path))
    assert (done.returncode, json.loads(done.stdout)["training"]["problems_by_reason"]) == (2, {"wrong_method": 1})
    done = genops(TRAIN, "--json", "--method", "preference", folder=tmp_path, config=usual_config(tmp_path))
    assert (done.returncode, json.loads(done.stdout)["training"]["problems_by_reason"]) == (2, {"wrong_method": 1})


def test_what_a_distillation_costs_is_said_to_be_the_least(tmp_path: Path) -> None:
    done = genops(TRAIN, "--method", "distillation", folder=tmp_path, config=usual_config(tmp_path))
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert "at least 0.74 USD" in said
    assert "warning: The teacher's answers" in said
    assert "what the teacher's answers cost is not in the estimate" in " ".join(said.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([TRAIN, "--method", "preferrence"], b"There is no method 'preferrence'"),
        (
            [TRAIN, "--model", "gemini-2.5-pro", "--method", "preference"],
            b"These do: gemini-2.5-flash, gemini-2.5-flash-lite",
        ),
        (["nothing.jsonl"], b"nothing.jsonl cannot be read: No such file"),
        (["."], b"is a directory"),
        ([TRAIN, "--model", "gemini-9"], b"Known models"),
        ([TRAIN, "--dataset", "bankin77"], b"Did you mean `banking77`?"),
        ([TRAIN, "--dataset", "banking77", "--model", "gemini-2.5-pro"], b"exclude each other"),
        (["-", "--validation", "-"], b"cannot be both files"),
    ],
)
def test_what_cannot_be_looked_at_is_exit_code_1(tmp_path: Path, arguments: list[object], said: bytes) -> None:
    done = genops(*arguments, folder=tmp_path, config=usual_config(tmp_path))
    assert done.returncode == 1
    assert said in done.stderr


def read_while_it_grows(file: Path) -> None:
    with _chunks(str(file)) as chunks:
        assert next(chunks)
        with file.open("ab") as more:
            more.write(GOOD[0])


def test_a_file_that_is_written_to_while_it_is_read_gets_no_verdict(tmp_path: Path) -> None:
    file = written(tmp_path, *GOOD)
    with pytest.raises(UnusableInput, match="was written to while it was read"):
        read_while_it_grows(file)
    with _chunks(str(file)) as chunks:
        assert b"".join(chunks) == b"".join([*GOOD, GOOD[0]])


def test_what_is_no_regular_file_is_read_as_it_comes_or_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', str(TRAIN), str(pipe)]) as writer:
        done = genops(pipe, "--json", folder=tmp_path, config=CONFIG)
        assert writer.wait(timeout=HANG_SECONDS) == 0
    assert json.loads(done.stdout)["training"]["examples"] == 770
    done = genops("/dev/null", "--json", folder=tmp_path, config=CONFIG)
    assert json.loads(done.stdout)["training"]["problems_by_reason"] == {"empty_file": 1}
    done = genops("/proc/self/mem", folder=tmp_path, config=CONFIG)
    assert (done.returncode, b"cannot be read: Input/output error" in done.stderr) == (1, True)


def test_a_report_of_many_invalid_lines_says_how_many_were_looked_at(tmp_path: Path) -> None:
    file = written(tmp_path, *GOOD, b"{}\n" * 5_000)
    done = genops(file, folder=tmp_path, config=CONFIG)
    assert b"40 examples on the first 1,040 of 5,040 lines" in done.stderr
    document = json.loads(genops(file, "--json", folder=tmp_path, config=CONFIG).stdout)["training"]
    assert (document["lines"], document["lines_checked"], document["problems_total"]) == (5_040, 1_040, 1_000)


def test_a_terminal_sees_progress(tmp_path: Path) -> None:
    file = written(tmp_path, *GOOD * 200)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "genops_events.cli", "validate", str(file)]
    environment = os.environ | {"GENOPS_CONFIG": str(CONFIG), "TERM": "xterm", "COLUMNS": "200"}
    running = subprocess.Popen(command, cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # what Linux says when the other side is closed
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    assert running.wait(timeout=HANG_SECONDS) == 0
    assert b"train.jsonl" in said.partition(b"valid:")[0]
    assert b"8,000 examples" in said


def test_neither_airflow_nor_a_google_client_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from genops_events.cli import app\n"
        f"try: app(['validate', {str(TRAIN)!r}])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = ('airflow', 'google.cloud.storage', 'google.cloud.pubsub', 'google.genai', 'google.api_core', 'grpc')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    environment = os.environ | {"GENOPS_CONFIG": str(CONFIG)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.stdout.strip() == b"[]", done.stderr
