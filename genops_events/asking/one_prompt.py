"""`generate`: one prompt in, one answer out, with its tokens and its cost; never for more than the budget."""

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
    """Vertex AI refused this very prompt; it cost nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A model's answer to one prompt, with what it cost."""

    text: str
    state: State
    """`cut` at max_output_tokens; `blocked` by a filter, or ended for another reason than its own; `empty` where nothing was
    said. Only a `complete` one is an answer to build on."""
    reason: str | None
    """Why it is not complete, in words."""
    function_calls: tuple[dict[str, Any], ...]
    """What the model asks to be called: `name` and `arguments`."""
    sources: tuple[dict[str, str], ...]
    """What the answer is grounded in: `uri` and `title`."""
    citations: tuple[dict[str, str], ...]
    """What the answer repeats from elsewhere: `uri`, `title`, `license`, as far as they are told."""
    input_tokens: int
    output_tokens: int
    """With the tokens of thinking."""
    cached_tokens: int
    """How many of the input tokens came from a cache."""
    thinking_tokens: int
    cost_usd: Decimal
    most_usd: Decimal
    """What was reserved for it before it was asked."""
    model: str
    run: str
    """Its id: `genops ask --run` shows the answer again."""


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

    The tokens are counted first (that is free), and what the answer costs at most is reserved in the month's ledger. It is
    settled by what Vertex AI says was used, and released where the call fails. Blocks, and needs no Airflow.

    Args:
        prompt: a text, or turns as the REST API takes them: [{"role": "user", "parts": [{"text": …}]}].
        model: a published model. Either this or `dataset`.
        dataset: of genops.yaml: its champion is asked, with its settings and its system instruction.
        files: images, audio, video, PDF and text for a prompt that is a text, by their gs:// addresses.
        system_instruction: in place of the dataset's; empty for none.
        settings: as under `inference` in genops.yaml, e.g. {"temperature": 0.2, "max_output_tokens": 500}; they override
            the dataset's.
        budget_usd: most that it may cost, thinking included: no more than `ask.budget_usd` of genops.yaml, and that where
            None.
        name: makes a repeated call the same one: whoever asks the same under the same name gets the same answer and pays
            once, also after a crash. In a task: its Dag run's id. None asks anew.
        config: genops.yaml where None.

    Raises:
        WrongForm: an argument makes no sense; it names all that do not. A budget above what genops.yaml allows is one.
        NoLimit: nothing in genops.yaml limits what asking this model costs.
        NoChampion: the dataset has none yet.
        OverBudget: it may cost more than the budget, or than is left of a month's limit. Nothing was asked.
        NotAnswered: Vertex AI refuses this prompt.
        CloudUnavailable: no answer in time. Whatever it was, the same call under the same name goes on.
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
        # Under a name, what may pass by itself is tried again with the same reservation; nobody can come back without one.
        if name is None or isinstance(error, PermanentError):
            with suppress(GenopsError):  # what cannot be settled now stays reserved
                release(config, store, run)
        raise


def generated(result: AskResult) -> Generated:
    """Return the answer to a single prompt.

    Raises:
        NotAnswered: it has none.
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
