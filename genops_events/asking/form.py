"""Read a question to a model from a form, a command or a call: every mistake is reported with its field, before any call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from pydantic import ValidationError

from genops_events.catalogue.partners import plain_name, refusal
from genops_events.config.answers import AnswerSettings, merged
from genops_events.config.model_settings import wrong_for
from genops_events.errors import PermanentError
from genops_events.gemini.prompts import BadRow, read_rows
from genops_events.money.ceilings import USUAL_ASK_USD, NoLimit, OverCeiling, ask_budget
from genops_events.money.ledger import MOST_USD
from genops_events.reading.problems import describe_problems, raise_wrongs
from genops_events.reading.yaml_lines import YamlDocument

if TYPE_CHECKING:
    from genops_events.config import Config

ROW_ID = "prompt"
"""`id` of the row of a single prompt."""
_SHOWN = 200
T = TypeVar("T")


class WrongForm(PermanentError):
    """Fields of the form are wrong, and nothing was asked."""


@dataclass(frozen=True, slots=True)
class FieldNames:
    """Names of the fields, as the user sees them."""

    prompt: str = "`prompt`"
    files: str = "`files`"
    file: str = "`file`"
    model: str = "`model`"
    champion_of: str = "`champion_of`"
    system_instruction: str = "`system_instruction`"
    settings: str = "`settings`"
    budget_usd: str = "`budget_usd`"
    takes_paths: bool = False
    """Whether a file without gs:// is a local path, and not the name of an object."""


FORM = FieldNames()
ARGUMENTS = FieldNames(champion_of="`dataset`")
COMMAND = FieldNames(
    prompt="PROMPT",
    files="--attach",
    file="--file",
    model="--model",
    champion_of="--dataset",
    system_instruction="--system",
    settings="--set",
    budget_usd="--budget",
    takes_paths=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskForm:
    """A valid form. Exactly one of `row` and `file` is set, and one of `model` and `champion_of`."""

    row: bytes | None
    """The prompt, as a row of a prompt file."""
    file: str | None
    """gs://BUCKET/OBJECT, the name of an object of the bucket, or for the command a local path."""
    model: str | None
    champion_of: str | None
    system_instruction: str | None
    """None for the dataset's; empty for none."""
    settings: AnswerSettings
    """The dataset's settings, overridden by those of the form."""
    given: frozenset[str] = frozenset()
    """Names of the settings that the form has."""
    budget_usd: Decimal
    names: FieldNames = FORM

    def models(self, config: Config) -> Iterator[tuple[str, str]]:
        """Yield the field that names the model, and the published model that it is or was tuned from."""
        if self.model is not None:
            yield self.names.model, self.model
        elif self.champion_of is not None:
            yield f"{self.champion_of}: source_model", config.dataset(self.champion_of).billed_model


def read_form(
    values: Mapping[str, Any], config: Config, *, names: FieldNames = FORM, is_counted_only: bool = False
) -> AskForm:
    """Return the form, checked.

    Args:
        values: by field; None, blank or absent for an empty one. `prompt` may be turns, too.
        config: has datasets, prices and the limits on asking.
        names: of the fields, for error messages.
        is_counted_only: whether no model is asked, so that no limit is needed.

    Raises:
        WrongForm: fields are wrong, or the budget is above that of genops.yaml; the message names all of them.
        NoLimit: genops.yaml has no limit on the cost of asking this model.
    """
    wrong: list[str] = []

    def read(field: Callable[[], T]) -> T | None:
        try:
            return field()
        except WrongForm as error:
            wrong.append(error.message)
            return None

    for first, second in (("prompt", "file"), ("model", "champion_of")):
        read(lambda first=first, second=second: _exactly_one(values, first, second, names))  # type: ignore[misc]
    row = read(lambda: _row(values, config, names))
    file = read(lambda: _file(values, config, names))
    model = read(lambda: _model(values, config, names))
    dataset = read(lambda: _dataset(values, config, names))
    system = values.get("system_instruction")
    if system is not None and not isinstance(system, str):
        wrong.append(f"{names.system_instruction} must be a text; it is of the type {type(system).__name__}.")
    settings = read(lambda: _settings(values, config, dataset, model, names))
    asked_usd = read(lambda: _budget(values, names))
    budget: Decimal | None = None
    unlimited: NoLimit | None = None
    try:
        budget = ask_budget(config, asked_usd, dataset=dataset, name=names.budget_usd)
    except NoLimit as error:
        budget, unlimited = (USUAL_ASK_USD if asked_usd is None else asked_usd), error
    except OverCeiling as error:
        wrong.append(f"{error.message} {error.hint}")
    if wrong or settings is None or budget is None:
        raise WrongForm("\n".join(wrong), "Nothing was asked.")
    if unlimited is not None and not is_counted_only:
        raise unlimited
    return AskForm(
        row=row,
        file=file,
        model=model,
        champion_of=dataset,
        system_instruction=system,
        settings=settings,
        given=frozenset(values.get("settings") or ()),
        budget_usd=budget,
        names=names,
    )


def _text(values: Mapping[str, Any], field: str, names: FieldNames) -> str | None:
    found = values.get(field)
    if found is None:
        return None
    if not isinstance(found, str):
        raise WrongForm(f"{getattr(names, field)} must be a text; it is {found!r}.")
    return found if found.strip() else None


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _row(values: Mapping[str, Any], config: Config, names: FieldNames) -> bytes | None:
    prompt, files = values.get("prompt"), values.get("files") or []
    if _is_blank(prompt):
        if files:
            raise WrongForm(f"{names.files} goes with {names.prompt}; in a file of prompts, each row names its own.")
        return None
    row: dict[str, Any] = {"id": ROW_ID, **({"prompt": prompt} if isinstance(prompt, str) else {"contents": prompt})}
    try:
        encoded = msgspec.json.encode(row | ({"files": files} if files else {}))
    except (TypeError, UnicodeEncodeError) as error:
        raise WrongForm(f"{names.prompt} is no JSON: {error}.") from None
    (read,) = read_rows([encoded], readable=config.addresses)
    if isinstance(read, BadRow):
        raise WrongForm(f"{names.prompt}: {read.reason.removeprefix('Line 1: ').rstrip('.')}.")
    return encoded


def _exactly_one(values: Mapping[str, Any], first: str, second: str, names: FieldNames) -> None:
    given = [field for field in (first, second) if not _is_blank(values.get(field))]
    one, other = getattr(names, first), getattr(names, second)
    if not given:
        raise WrongForm(f"Neither {one} nor {other} is filled in, and one of them is needed.")
    if len(given) > 1:
        raise WrongForm(f"Both {one} and {other} are filled in: only one of them can be asked.")


def _file(values: Mapping[str, Any], config: Config, names: FieldNames) -> str | None:
    file = _text(values, "file", names)
    if file is None:
        return None
    if names.takes_paths and "://" not in file:
        return file
    address = file if "://" in file else config.uri(file)
    if (problem := config.addresses.problem(address)) is not None:
        raise WrongForm(f"{names.file} must name a file of prompts (JSON Lines); {file[:_SHOWN]!r} {problem}.")
    return file


def _model(values: Mapping[str, Any], config: Config, names: FieldNames) -> str | None:
    model = _text(values, "model", names)
    if model is None:
        return None
    model = plain_name(model)
    if (refused := refusal(model)) is not None:
        raise WrongForm(f"{names.model} must be {refused}.")
    try:
        config.rates(model).price("output")
        config.call_limits(model)
    except PermanentError as error:
        raise WrongForm(f"{names.model}: {error.message} {' '.join(error.hint.split())}") from None
    return model


def _dataset(values: Mapping[str, Any], config: Config, names: FieldNames) -> str | None:
    dataset = _text(values, "champion_of", names)
    if dataset is None:
        return None
    try:
        config.dataset(dataset)
    except PermanentError as error:
        raise WrongForm(f"{names.champion_of}: {error.message} {error.hint}") from None
    return dataset


def _settings(
    values: Mapping[str, Any], config: Config, dataset: str | None, model: str | None, names: FieldNames
) -> AnswerSettings:
    given = values.get("settings")
    if given is None or given == "":
        given = {}
    if not isinstance(given, Mapping):
        raise WrongForm(
            f'{names.settings} must be a JSON object of settings, such as {{"temperature": 0.2}}; it is {given!r}.'
        )
    usual = AnswerSettings() if dataset is None else config.dataset(dataset).inference
    try:
        own = AnswerSettings.model_validate(dict(given))
        # Merged even without own settings, so that the result has the settings of answers, and no others.
        both = merged(AnswerSettings(**{key: getattr(usual, key) for key in AnswerSettings.model_fields}), own)
        asked = model or (None if dataset is None else config.dataset(dataset).billed_model)
        if asked is not None and (known := config.catalogue.with_name(asked)) is not None:
            raise_wrongs(list(wrong_for(both, known[1], known[0])))
    except ValidationError as error:
        raise WrongForm(" ".join(_problems(error, given, names))) from None
    return both


def _problems(error: ValidationError, given: Mapping[str, Any], names: FieldNames) -> Iterator[str]:
    for one in describe_problems(error, AnswerSettings, YamlDocument(dict(given), {})):
        near = f" Did you mean `{one.did_you_mean}`?" if one.did_you_mean is not None else ""
        yield f"{names.settings}: {one.key or 'all'} {one.problem}: found {one.found}, allowed is {one.allowed}.{near}"


def _budget(values: Mapping[str, Any], names: FieldNames) -> Decimal | None:
    given = values.get("budget_usd")
    if given is None or given == "":
        return None
    try:
        # By its text, since the float 0.1 is not exactly 0.1.
        budget = Decimal(str(given))
    except InvalidOperation:
        budget = Decimal("NaN")
    if isinstance(given, bool) or not budget.is_finite() or not 0 <= budget <= MOST_USD:
        raise WrongForm(f"{names.budget_usd} must be US dollars, 0 or more; it is {given!r}.")
    return budget
