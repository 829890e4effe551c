"""`generate`: one prompt, one answer, paid for once, within its budget, whoever dies."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.dag_processing.dagbag import DagBag
from asked import MODEL, champion_of, change, entries, objects, reserved, spent
from cloud import DATASET, ROOT, StandIns, until
from waiting import FOREVER_SECONDS

from genops_events.asking import NotAnswered, generate, running
from genops_events.asking.form import WrongForm
from genops_events.asking.planning import NoChampion, OverBudget
from genops_events.config import Config
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini import calls, online
from genops_events.money.ledger import NO_DATASET
from genops_events.record.asks import answers_path

OFF = {"thinking": {"budget_tokens": 0}}
SHORT = {"max_output_tokens": 100, **OFF}
"""Costs little at most: without thoughts."""


def test_an_answer_comes_with_its_tokens_and_cost_and_the_ledger_has_them(config: Config, store: RecordStore) -> None:
    done = generate("where is my card", model=MODEL, settings=SHORT)
    assert (done.text, done.state, done.reason) == ("where is my card", "complete", None)
    assert (done.input_tokens, done.output_tokens, done.model) == (6, 6, MODEL)
    # 6 input and 6 output tokens at the shipped prices, 0.30 and 2.50 USD per million; at most, 100 come out.
    assert (done.cost_usd, done.most_usd) == (Decimal("0.000017"), Decimal("0.000252"))
    [(entry, posted)] = entries(store).items()
    posting = posted.purposes["asking"]
    assert (entry, posted.dataset) == (done.run, NO_DATASET)
    assert (posting.settled, posting.spent_usd, posting.estimated_usd) == (True, done.cost_usd, done.most_usd)
    assert [name.rpartition("/")[2] for name in objects(store)] == [
        "answers.jsonl",
        "plan.json",
        "prompts.jsonl",
        "result.json",
    ]


def test_what_is_reserved_while_it_asks_is_what_it_costs_at_most(
    config: Config, cloud: StandIns, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Decimal] = []
    post = calls.Connection.post

    async def noted(self: calls.Connection, url: str, *given: Any, **more: Any) -> bytes:
        if url.endswith(":generateContent"):  # tokens are counted before, by the same way
            seen.append(reserved(store))
        return await post(self, url, *given, **more)

    monkeypatch.setattr(calls.Connection, "post", noted)
    done = generate("how much", model=MODEL, settings={"max_output_tokens": 1000} | OFF)
    assert seen == [done.most_usd]
    assert reserved(store) == 0


def test_functions_and_the_schema_of_the_answer_are_paid_for_with_each_prompt(
    config: Config, store: RecordStore
) -> None:
    plain = generate("where", model=MODEL, settings={"max_output_tokens": 5} | OFF)
    words = {"type": "object", "properties": {"intent": {"type": "string", "description": "word " * 400}}}
    for more in (
        {"response_json_schema": words},
        {"functions": [{"name": "f", "description": "d", "parameters": words}]},
    ):
        found = generate("where", model=MODEL, settings={"max_output_tokens": 5, **OFF, **more})
        assert found.most_usd - plain.most_usd > config.rates(MODEL).generation_cost(400, 0)


def test_the_champion_answers_with_its_datasets_settings_and_what_is_given_overrides_them(
    config: Config, store: RecordStore
) -> None:
    champion_of(config, store)
    usual = generate("where", dataset=DATASET)
    dataset = config.dataset(DATASET)
    assert usual.model.endswith(f"/models/{MODEL}")
    # The system instruction of the dataset is sent, and counted.
    assert dataset.system_instruction
    assert usual.input_tokens > 2
    assert generate("where", dataset=DATASET, system_instruction="").input_tokens == 2
    assert entries(store)[usual.run].dataset == DATASET
    cut = generate("one two three four five six", dataset=DATASET, settings={"max_output_tokens": 2})
    assert (cut.state, cut.reason) == ("cut", "the answer reached max_output_tokens")
    assert cut.most_usd < usual.most_usd


def test_a_champion_of_an_earlier_model_is_asked_without_what_it_does_not_take(
    config: Config, cloud: StandIns, store: RecordStore, tmp_path: Path
) -> None:
    champion_of(config, store)  # tuned from MODEL, which thinks by a budget
    datasets = yaml.safe_load((tmp_path / "genops.yaml").read_text())["datasets"]
    datasets[DATASET]["source_model"] = "gemini-3.5-flash"
    datasets[DATASET]["inference"] |= {"thinking": {"level": "low"}, "max_output_tokens": 50}
    change(tmp_path, datasets=datasets, models=str(ROOT / "examples" / "models.toml"))
    assert (done := generate("where", dataset=DATASET)).state == "complete"
    assert done.model.endswith(f"/models/{MODEL}")
    asked = cloud.vertex_calls("generateContent")
    with pytest.raises(WrongForm, match=f"was tuned from {MODEL}, which does not take thinking"):
        generate("where", dataset=DATASET, settings={"thinking": {"level": "high"}})
    assert cloud.vertex_calls("generateContent") == asked, "nothing was asked"


def test_over_the_budget_nothing_is_asked_and_nothing_reserved(
    config: Config, cloud: StandIns, store: RecordStore
) -> None:
    before = cloud.vertex_calls("generateContent")
    with pytest.raises(OverBudget) as refused:
        generate("one two", model=MODEL, budget_usd="0.0001", settings=SHORT)
    assert refused.value.message == (
        "Asking gemini-2.5-flash may cost $0.000251: $0.000001 for the 3 input tokens of the prompt, and $0.00025 for an "
        "answer of up to 100 tokens, thinking included. The budget is $0.0001: $0.000151 too much."
    )
    assert (
        "Raise `budget_usd`, or set a smaller max_output_tokens, or less thinking, with `settings`"
        in refused.value.hint
    )
    assert cloud.vertex_calls("generateContent") == before
    assert entries(store) == {}
    assert objects(store) == []


def test_what_is_left_of_the_projects_month_counts_for_a_model_and_of_the_datasets_for_its_champion(
    config: Config, store: RecordStore, cloud: StandIns, tmp_path: Path
) -> None:
    champion_of(config, store)
    before = cloud.vertex_calls("generateContent")
    change(tmp_path, budget={"monthly_usd": 0.0001})
    with pytest.raises(OverBudget, match=r"the project has \$0\.00 of its \$0\.0001 for .* too much") as refused:
        generate("one two", model=MODEL, settings=SHORT)
    assert "`genops spend`" in refused.value.hint
    change(tmp_path, budget={}, datasets={DATASET: dataset_with(tmp_path, monthly_usd=0.0001)})
    with pytest.raises(OverBudget, match=rf"{DATASET} has \$0\.00 of its \$0\.0001"):
        generate("one two", dataset=DATASET, settings=SHORT)
    assert cloud.vertex_calls("generateContent") == before
    assert reserved(store) == 0


def dataset_with(tmp_path: Path, **budget: float) -> dict[str, Any]:
    import yaml

    found = yaml.safe_load((tmp_path / "genops.yaml").read_text(encoding="utf-8"))["datasets"][DATASET]
    return {**found, "budget": {**found["budget"], **budget}}


def test_a_dataset_without_a_champion_is_told(config: Config) -> None:
    with pytest.raises(NoChampion, match="no candidate was promoted yet") as refused:
        generate("where", dataset=DATASET)
    assert f"`model` {config.dataset(DATASET).billed_model}" in refused.value.hint


def test_under_a_name_the_same_is_asked_once(config: Config, cloud: StandIns, store: RecordStore) -> None:
    before = cloud.vertex_calls("generateContent")
    first = generate("where is it", model=MODEL, name="my_dag/run-1")
    assert generate("where is it", model=MODEL, name="my_dag/run-1") == first
    assert cloud.vertex_calls("generateContent") == before + 1
    # Something else under the same name is something else.
    other = generate("where is she", model=MODEL, name="my_dag/run-1")
    assert (other.text, other.run == first.run) == ("where is she", False)
    assert spent(store) == first.cost_usd + other.cost_usd


def test_of_two_that_ask_the_same_at_once_the_slower_leaves_the_answers_of_the_other_alone(
    config: Config, store: RecordStore
) -> None:
    def overtaken(*args: Any, **given: Any) -> Any:
        patch.undo()
        call_counts = online.answer_online(*args, **given)
        generate("where is it", model=MODEL, name="mine")
        return call_counts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "answer_online", overtaken)
        done = generate("where is it", model=MODEL, name="mine")
    assert done.text == "where is it"
    assert "where is it" in store.bucket.blob(answers_path(done.run)).download_as_text()


def test_a_failed_call_releases_its_money_and_costs_nothing(
    config: Config, cloud: StandIns, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "TRIES", 1)
    cloud.vertex.faults(error_share=1, error_methods=["generateContent"])
    with pytest.raises(CloudUnavailable):
        generate("where", model=MODEL)
    assert (reserved(store), spent(store)) == (Decimal(0), Decimal(0))
    # Under a name, a retry is expected: what is reserved is seen until it comes.
    with pytest.raises(CloudUnavailable):
        generate("where", model=MODEL, name="mine")
    held = reserved(store)
    assert held > 0
    cloud.vertex.faults()
    done = generate("where", model=MODEL, name="mine")
    assert (reserved(store), spent(store), done.most_usd) == (Decimal(0), done.cost_usd, held)


def test_a_refused_prompt_is_an_error_and_free(config: Config, cloud: StandIns, store: RecordStore) -> None:
    cloud.vertex.faults(refused_text="unlucky", error_methods=["generateContent"])
    with pytest.raises(NotAnswered, match="the request holds 'unlucky'"):
        generate("the unlucky one", model=MODEL)
    assert (reserved(store), spent(store)) == (Decimal(0), Decimal(0))


def test_a_blocked_prompt_is_marked_with_its_reason(config: Config, cloud: StandIns) -> None:
    cloud.vertex.faults(blocked_text="forbidden")
    done = generate("the forbidden word", model=MODEL)
    assert (done.text, done.state) == ("", "blocked")
    assert done.reason is not None
    assert done.reason.startswith("the prompt was blocked: ")


def test_turns_and_files_are_asked_too(config: Config) -> None:
    turns = [{"role": "user", "parts": [{"text": "hello"}]}, {"role": "model", "parts": [{"text": "yes?"}]}]
    done = generate([*turns, {"role": "user", "parts": [{"text": "and now"}]}], model=MODEL)
    assert (done.text, done.input_tokens) == ("and now", 7)
    seen = generate("what is it", model=MODEL, files=["gs://bucket/letter.pdf"])
    assert seen.input_tokens > 3


def test_what_makes_no_sense_is_told_by_its_argument(config: Config, cloud: StandIns) -> None:
    before = cloud.vertex_calls("generateContent")
    with pytest.raises(WrongForm) as wrong:
        generate("", settings={"temprature": 1}, budget_usd=-1, dataset="banking78")
    assert "Neither `prompt` nor `file`" in wrong.value.message
    assert "`dataset`: " in wrong.value.message
    assert f"`{DATASET}`" in wrong.value.message
    assert "`settings`: temprature" in wrong.value.message
    assert "Did you mean `temperature`?" in wrong.value.message
    assert "`budget_usd` must be US dollars, 0 or more; it is -1" in wrong.value.message
    with pytest.raises(WrongForm, match=r"`budget_usd` is \$2.00, and genops.yaml allows \$1.00"):
        generate("one", model=MODEL, budget_usd=2)
    with pytest.raises(WrongForm, match="`prompt`: the last turn of `contents` must be the user's"):
        generate([{"role": "model", "parts": [{"text": "yes?"}]}], model=MODEL)
    with pytest.raises(WrongForm, match=r"models do not take page\.docx"):
        generate("look", model=MODEL, files=["gs://bucket/page.docx"])
    assert cloud.vertex_calls("generateContent") == before


def test_the_dag_in_the_docs_does_what_the_page_says(
    config: Config, cloud: StandIns, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "how-to" / "ask-a-model.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "greet.py"
    file.write_text(code, encoding="utf-8")
    bag = DagBag(file)
    assert bag.import_errors == {}
    task: Any = bag.dags["greet"].get_task("ask")
    before = cloud.vertex_calls("generateContent")
    for _ in range(2):  # a retry
        task.python_callable(run_id="run-1")
        assert capsys.readouterr().out.splitlines()[-1] == "Name three birds. 7 10 0.000101 complete"
    assert cloud.vertex_calls("generateContent") == before + 1


_GENERATE = """
import sys
from genops_events.asking import generate
generate("where is my card", model=sys.argv[1], name="killed")
"""


def test_killed_amid_the_call_its_money_stays_reserved_and_a_retry_settles_it_once(
    config: Config, cloud: StandIns, store: RecordStore
) -> None:
    before = cloud.vertex_calls("generateContent")
    cloud.vertex.faults(delay_seconds=FOREVER_SECONDS, error_methods=["generateContent"])
    with subprocess.Popen([sys.executable, "-c", _GENERATE, MODEL]) as process:
        until(lambda: cloud.vertex_calls("generateContent") > before)
        process.send_signal(signal.SIGKILL)
    held = reserved(store)
    assert held > 0
    cloud.vertex.faults()
    done = generate("where is my card", model=MODEL, name="killed")
    assert done.most_usd == held
    [posted] = entries(store).values()
    assert (posted.reserved_usd, posted.spent_usd) == (Decimal(0), done.cost_usd)
