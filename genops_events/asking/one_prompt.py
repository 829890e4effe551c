"""`generate`: ask one prompt, and return the answer with its tokens and its cost, which is within the budget."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from genops_events.asking.form import ARGUMENTS, read_form
from genops_events.errors import GenopsError, PermanentError
from genops_events.record.asks import AskResult, run_of
from genops_events.record.endings import State

if TYPE_CHECKING:
    from genops_events.config import Config


class NotAnswered(PermanentError):
    """Vertex AI refused this prompt, which cost nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A model's answer to one prompt, with what it cost."""

    text: str
    state: State
    """`cut` at max_output_tokens; `blocked` by a filter, or ended before its end for another reason; `empty` without any
    text. Only a `complete` answer should be used."""
    reason: str | None
    """A sentence that says why the answer is not complete; None where it is."""
    function_calls: tuple[dict[str, Any], ...]
    """Function calls that the model asks for: `name` and `arguments`."""
    sources: tuple[dict[str, str], ...]
    """Sources of a grounded answer: `uri` and `title`."""
    citations: tuple[dict[str, str], ...]
    """Sources that the answer quotes: `uri`, `title`, `license`, as far as the service names them."""
    input_tokens: int
    output_tokens: int
    """Tokens of answer and thinking."""
    cached_tokens: int
    """Input tokens that came from a cache."""
    thinking_tokens: int
    cost_usd: Decimal
    most_usd: Decimal
    """The sum that was reserved before the call."""
    model: str
    run: str
    """Id of the run: `genops ask --run` shows the answer again."""


def generate(
    prompt: str | Sequence[Mapping[str, Any]],
    *,
    model: str | None = None,
    dataset: str | None = None,
    files: Sequence[str] = (),
    system_instruction: str | None = None,
    settings: Mapping[str, Any] | None = None,
    budget_usd: Decimal | float | str | None = None,
    name: str | None = None,
    config: Config | None = None,
) -> Generated:
    """Ask one prompt, pay for it once, and return the answer with its tokens and its cost.

    The tokens are counted first (that is free), and the most that the answer can cost is reserved in the month's ledger. The
    reservation is settled by the tokens that Vertex AI reports, and released if the call fails. This blocks, and needs no
    Airflow.

    Args:
        prompt: a text, or turns in the form of the REST API: [{"role": "user", "parts": [{"text": …}]}].
        model: a published model. Either this or `dataset`.
        dataset: of genops.yaml: its champion is asked, with its settings and its system instruction.
        files: gs:// addresses of images, audio, video, PDF and text, for a prompt that is a text.
        system_instruction: in place of the dataset's; empty for none.
        settings: as under `inference` in genops.yaml, e.g. {"temperature": 0.2, "max_output_tokens": 500}; they override
            the dataset's.
        budget_usd: the most that it may cost in USD, thinking included; at most `ask.budget_usd` of genops.yaml, which is
            also the default.
        name: identifies the call: the same arguments under the same name give the same answer, and are paid for once, also
            after a crash. In a task, use the id of its Dag run. None for a new call each time.
        config: None for genops.yaml.

    Raises:
        WrongForm: arguments are wrong, or the budget is above that of genops.yaml; the message names all of them.
        NoLimit: genops.yaml has no limit on the cost of asking this model.
        NoChampion: the dataset has no champion yet.
        OverBudget: it may cost more than the budget, or than is left of a month's limit. Nothing was asked.
        NotAnswered: Vertex AI refuses this prompt.
        CloudUnavailable: no answer in time. The same call under the same name continues.
    """
    from genops_events.asking.planning import settled_plan
    from genops_events.asking.running import ask, release
    from genops_events.config import load_config
    from genops_events.gcp.record_store import RecordStore

    config = config or load_config()
    values = {
        "prompt": prompt,
        "files": list(files),
        "model": model,
        "champion_of": dataset,
        "system_instruction": system_instruction,
        "settings": settings,
        "budget_usd": budget_usd,
    }
    question = read_form(values, config, names=ARGUMENTS)
    store = RecordStore.open(config)
    run = run_of(uuid.uuid4().hex if name is None else f"{name}/{_digest(values)}")
    plan = settled_plan(config, store, question, run=run, by=name or "generate")
    try:
        return generated(ask(config, store, plan))
    except GenopsError as error:
        # Under a name, a transient error is tried again with the same reservation. Without one, the call cannot be repeated.
        if name is None or isinstance(error, PermanentError):
            with suppress(GenopsError):  # if it cannot be settled now, the reservation is kept
                release(config, store, run)
        raise


def generated(result: AskResult) -> Generated:
    """Return the answer to a single prompt.

    Raises:
        NotAnswered: there is none.
    """
    row = result.row or {}
    if "answer" not in row:
        raise NotAnswered(f"The prompt was not answered: {result.most_often}", "It cost nothing.")
    return Generated(
        text=row["answer"],
        state=row["state"],
        reason=row.get("reason"),
        function_calls=tuple(row.get("function_calls", ())),
        sources=tuple(row.get("sources", ())),
        citations=tuple(row.get("citations", ())),
        input_tokens=result.input_tokens,
        output_tokens=result.output_tokens,
        cached_tokens=result.cached_tokens,
        thinking_tokens=result.thinking_tokens,
        cost_usd=result.cost_usd,
        most_usd=result.most_usd,
        model=result.model,
        run=result.candidate,
    )


def _digest(values: Mapping[str, Any]) -> str:
    asked = {key: value for key, value in values.items() if key != "budget_usd"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
