"""`genops compare`: let any number of contestants answer the same prompts, and see them side by side."""

from __future__ import annotations

import hashlib
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from genops_events.cli.caller import me
from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json, warn_of_models
from genops_events.cli.target import connect
from genops_events.cli.watch import EXIT_ENDED_OTHERWISE, EXIT_TIMEOUT
from genops_events.errors import ConfigError, PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from genops_events.airflow_rest.client import AirflowRest
    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.comparison import ComparisonSummary, ContestantResult

DAG_ID = "genops_comparison"
LOOK_SECONDS = 1.0
RUN_LOOK_SECONDS = 5.0
_CHUNK_BYTES = 1024 * 1024
_STYLES = {"completed": "green", "failed": "bold red", "refused": "bold yellow"}


class DagPaused(PermanentError):
    """The Dag run would wait for as long as its Dag is paused."""


class ComparisonMissing(PermanentError):
    """The Dag run ended, and left no comparison."""


class NoSuchComparison(PermanentError):
    """The record knows no comparison of this id."""


@dataclass(frozen=True, slots=True)
class StartedComparison:
    """A comparison whose Dag run has been created."""

    comparison: str
    run_id: str
    dataset: str

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints where nobody waits."""
        return {"comparison": self.comparison, "dataset": self.dataset, "dag": DAG_ID, "run_id": self.run_id}


def compare(  # noqa: PLR0917 - typer's parameters
    file: Annotated[
        Path | None,
        typer.Argument(help="Prompts: JSONL with `prompt` and `reference`. The dataset's own if not given."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="An entry of genops.yaml; may be left out where there is one.")
    ] = None,
    contestant: Annotated[
        list[str] | None,
        typer.Option(
            help="`champion`, a published model, a candidate, or `NAME: {model: …, generation_config: {…}}`; repeat it. "
            "The dataset's own if not given."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="What is measured; repeat it. As the evaluation if not given.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(min=0, help="Most that it may cost, in US dollars; no more than genops.yaml allows."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end, and print the summary.")] = False,  # noqa: FBT002
    timeout: Annotated[
        float | None, typer.Option(min=0, help="With --wait: give up after so many seconds (exit 3).")
    ] = None,
    show: Annotated[str | None, typer.Option(help="Print the summary of this comparison; start none.")] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Compare contestants on the same prompts. With --wait, exit 0: all completed; 2: a contestant did not; 3: timeout."""
    from genops_events.gcp.record_store import RecordStore

    with errors_reported():
        config = connect()
        store = RecordStore.open(config)
        if show is not None:
            shown = read_comparison(store, show)
            if shown is None:
                raise NoSuchComparison(
                    f"The record knows no comparison {show} that has ended.", "`genops compare --wait` waits for one."
                )
            _print(shown, as_json=as_json)
            return
        from genops_events.airflow_rest.client import AirflowNotConfigured
        from genops_events.cli.diagnosis import known_airflow

        airflow = known_airflow()
        if airflow is None:
            raise AirflowNotConfigured(
                "GENOPS_AIRFLOW_URL is not set, so the comparison cannot be started.",
                'Set it to the address of Airflow\'s API server; beside a local stack: `eval "$(genops env)"`.',
            )
        conf = request(config, dataset=dataset, contestants=contestant or [], metrics=metric or [], budget_usd=budget)
        refuse_paused(airflow)
        if file is not None:
            conf["prompts"] = uploaded(config, file)
        started = start(airflow, conf)
        human().print(f"Comparison {started.comparison}: Dag run {started.run_id} of {DAG_ID}.", markup=False)
        if not wait:
            if as_json:
                print_json(started.to_json())
            human().print(f"See it with: genops compare --show {started.comparison}", markup=False)
            return
        found = follow(store, airflow, started, timeout_seconds=timeout, console=human())
    if found is None:
        human().print(
            f"Time is up; the comparison goes on. See it with: genops compare --show {started.comparison}", markup=False
        )
        raise typer.Exit(EXIT_TIMEOUT)
    _print(found, as_json=as_json)
    if found.outcome != "completed" or any(one.status != "completed" for one in found.contestants):
        raise typer.Exit(EXIT_ENDED_OTHERWISE)


def request(
    config: Config, *, dataset: str | None, contestants: list[str], metrics: list[str], budget_usd: float | None
) -> dict[str, Any]:
    """Return the Dag run's conf, once everything in it that can be checked here is right.

    Raises:
        ConfigError: no such dataset, or none named where there are several.
        BadContestants, BadMetrics: a contestant or a metric cannot be used.
        OverCeiling: the budget is above what genops.yaml allows.
    """
    from genops_events.config.comparison import refuse_metrics
    from genops_events.config.contestants import BadContestants, read_contestants
    from genops_events.doctor.model_notices import contestants_models, models_of
    from genops_events.money.ceilings import comparison_budget

    if dataset is None:
        if len(config.datasets) > 1:
            raise ConfigError("There are several datasets.", f"Name one with --dataset: {', '.join(config.datasets)}.")
        dataset = next(iter(config.datasets))
    entry = config.dataset(dataset)
    read = read_contestants(contestants, config.catalogue, entry.billed_model) or entry.comparison.contestants
    if not read:
        raise BadContestants(
            f"There are no contestants to compare: `comparison.contestants` of {dataset} is empty.",
            "Name some: --contestant champion --contestant gemini-3.5-flash",
        )
    refuse_metrics(tuple(metrics), entry.evaluation)
    own = contestants_models("--contestant", read if contestants else ())
    warn_of_models(config.catalogue, [*models_of(config, dataset=dataset), *own])
    comparison_budget(entry, None if budget_usd is None else Decimal(str(budget_usd)), name="--budget")
    conf: dict[str, Any] = {"dataset": dataset}
    if contestants:
        conf["contestants"] = list(contestants)
    if metrics:
        conf["metrics"] = list(metrics)
    if budget_usd is not None:
        conf["budget_usd"] = budget_usd
    return conf


def uploaded(config: Config, file: Path) -> str:
    """Return the name of the object that holds the prompts of a file; the same file is the same object.

    Raises:
        NotAFile: there is none.
        EvaluationDataError: a line of it cannot be used.
    """
    from genops_events.evaluation.examples import lines_of_file, read_evaluation_examples
    from genops_events.intake.uploads import NotAFile, upload_if_absent
    from genops_events.record.comparison_plan import upload_path

    if not file.is_file():
        raise NotAFile(f"{file} is no file.", "Name a JSONL file of prompts and references.")
    digest = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        while chunk := opened.read(_CHUNK_BYTES):
            digest.update(chunk)
            yield chunk

    with file.open("rb") as opened:
        for _ in read_evaluation_examples(lines_of_file(chunks()), needs_reference=()):
            pass
    name = upload_path(digest.hexdigest()[:32])
    upload_if_absent(config, file, name=name)
    return name


def refuse_paused(airflow: AirflowRest) -> None:
    """Raise DagPaused where nobody would do the Dag run; errors as `start`."""
    if airflow.get(f"/api/v2/dags/{DAG_ID}").get("is_paused"):
        raise DagPaused(
            f"{DAG_ID} is paused in Airflow, so the comparison would only wait; nothing was started.",
            f"Unpause it: airflow dags unpause {DAG_ID}",
        )


def start(airflow: AirflowRest, conf: dict[str, Any]) -> StartedComparison:
    """Create the Dag run. Its id is made up here, so that the comparison's id is known.

    Raises:
        AirflowUnavailable: no answer; nothing is known.
        AirflowRefused: this user may not start runs.
    """
    from genops_events.record.comparison_plan import comparison_id

    run_id = f"compare__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}__{uuid.uuid4().hex[:8]}"
    body = {"dag_run_id": run_id, "logical_date": None, "conf": conf, "note": f"genops compare, by {me()}"}
    airflow.post(f"/api/v2/dags/{DAG_ID}/dagRuns", body)
    return StartedComparison(comparison_id(conf["dataset"], run_id), run_id, conf["dataset"])


def read_comparison(store: RecordStore, comparison: str) -> ComparisonSummary | None:
    """Return a comparison that has ended; None where it has not, or is not known."""
    from genops_events.record.comparison import ComparisonSummary
    from genops_events.record.comparison_plan import summary_path

    return store.read(summary_path(comparison), ComparisonSummary)


def follow(
    store: RecordStore,
    airflow: AirflowRest,
    started: StartedComparison,
    *,
    timeout_seconds: float | None,
    console: Console,
) -> ComparisonSummary | None:
    """Print who has ended as they do, and return the comparison; None when the time is up.

    Raises:
        ComparisonMissing: the Dag run has ended without one.
    """
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    seen: set[str] = set()
    asked_at = time.monotonic()
    over = False
    while True:
        try:
            found = read_comparison(store, started.comparison)
            _tell(store, started.comparison, seen, console)
        except TransientError as error:
            console.print(f"{error.message} Looking again.", markup=False)
            found = None
        if found is not None:
            return found
        if over:
            raise ComparisonMissing(
                f"The Dag run {started.run_id} has ended, and left no comparison.",
                f"The logs of its tasks say why: {airflow.url}/dags/{DAG_ID}/runs/{quote(started.run_id, safe='')}",
            )
        if deadline is not None and time.monotonic() >= deadline:
            return None
        if time.monotonic() - asked_at >= RUN_LOOK_SECONDS:
            asked_at = time.monotonic()
            over = _is_over(airflow, started)
        if not over:
            time.sleep(LOOK_SECONDS)


def _is_over(airflow: AirflowRest, started: StartedComparison) -> bool:
    try:
        run = airflow.get(f"/api/v2/dags/{DAG_ID}/dagRuns/{quote(started.run_id, safe='')}")
    except TransientError:
        return False  # the record is what counts
    return str(run.get("state")) in {"success", "failed"}


def _tell(store: RecordStore, comparison: str, seen: set[str], console: Console) -> None:
    from genops_events.record.comparison_plan import ContestantDocument, folder

    ended = [name for name in store.names(f"{folder(comparison)}contestants/") if name.endswith("/result.json")]
    for name in ended:
        if name not in seen:
            seen.add(name)
            document = store.read(name, ContestantDocument)
            if document is not None:
                console.print(_line(document.result), markup=False)


def _line(one: ContestantResult) -> str:
    means = ", ".join(f"{name} {figure.mean:.4g}" for name, figure in one.metrics.items() if figure.mean is not None)
    return f"{one.name:<20} {one.status}  {means}  {one.reason}".rstrip()


def _print(found: ComparisonSummary, *, as_json: bool) -> None:
    if as_json:
        print_json(found.model_dump(mode="json", by_alias=True, exclude_none=True))
        return
    from genops_events.evaluation.files import browser_url

    console = human()
    console.print(shown(found))
    console.print(found.reason, markup=False)
    for one in found.contestants:
        more = one.help if one.status != "completed" else one.reason
        if more:
            console.print(f"{one.name}: {more}", markup=False)
    for note in found.notes:
        console.print(note, markup=False)
    if found.report_uri:
        console.lines(f"Report: {found.report_uri}\n        {browser_url(found.report_uri)}")
    if found.parquet_uri:
        console.lines(f"Rows:   {found.rows_uri}\n        {found.parquet_uri}")


def shown(found: ComparisonSummary) -> Table:
    """Return the summary as a table: a line for each contestant."""
    from genops_events.cli.terminal import table

    metrics = [one.name for one in found.metrics]
    numbers = (*metrics, "failed rows", "tokens in", "out", "answers", "spent", "p50", "p95")
    title = f"{found.id}: {found.outcome}, {found.rows:,} prompts, {found.cost_text}"
    rows = (_row(one, metrics) for one in found.contestants)
    return table(("contestant", "model", "state", *numbers), rows, title=title, numbers=numbers)


def _row(one: ContestantResult, metrics: Sequence[str]) -> tuple[str | Text, ...]:
    from rich.text import Text

    return (
        one.name,
        one.candidate or "/".join(one.model.split("/")[-2:]),
        Text(one.status, style=_STYLES[one.status]),
        *(_mean(one, metric) for metric in metrics),
        f"{one.failed_rows:,}",
        _count(one.input_tokens),
        _count(one.output_tokens),
        "" if one.answers_usd is None else f"${one.answers_usd:.6f}",
        "unknown" if one.cost_usd is None else f"${one.cost_usd:.6f}",
        "" if one.latency is None else f"{one.latency.p50_seconds:.2f} s",
        "" if one.latency is None else f"{one.latency.p95_seconds:.2f} s",
    )


def _mean(one: ContestantResult, metric: str) -> str:
    found = one.metrics.get(metric)
    if found is None or found.mean is None:
        return "-"
    spread = "" if found.low is None or found.high is None else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{found.mean:.3f}{spread}"


def _count(tokens: int | None) -> str:
    return "" if tokens is None else f"{tokens:,}"
