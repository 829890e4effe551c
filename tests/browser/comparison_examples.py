"""Comparisons as the Dag writes them, with figures that can be counted by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from report_examples import CANDIDATE, CHAMPION, EXACT, FLUENCY, HOSTILE, MESSAGES, ROUGE

from genops_events.catalogue.metrics import Metric
from genops_events.comparison.report import render
from genops_events.evaluation.rows import Row, summarise
from genops_events.record.comparison import (
    ComparedAnswer,
    ComparedRow,
    ComparisonSummary,
    ContestantResult,
    Measured,
    latency_of,
)

FLASH, LITE, PRO = "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro"
ENDPOINT = "projects/genops-local/locations/us-central1/endpoints/5021963873110345216"
PREFIX = f"gs://genops-data/genops/comparisons/{CANDIDATE}/"
RIGHT = {"champion": 81, "candidate": 88, "flash-lite": 52, "flash-precise": 64, "pro": 86}
"""How many of 100 each has right."""
THOUSAND_USD = {"champion": "0.11", "candidate": "0.11", "flash-lite": "0.02", "flash-precise": "0.12", "pro": "1.9"}
DENIED = (
    "403 Permission 'aiplatform.endpoints.predict' denied on resource"
    " '//aiplatform.googleapis.com/projects/genops-local/locations/europe-west4/endpoints/77' (or it may not exist)."
)


def answered(text: str | None, reference: str, *, fluency: float | None = None, **known: Any) -> ComparedAnswer:
    """Return an answer with its scores."""
    scores = {"exact_match": float(text == reference), "rouge_1": 1.0 if text == reference else 0.25}
    if fluency is not None:
        scores["fluency"] = fluency
    return ComparedAnswer(answer=text, state="complete", finish_reason="STOP", scores=scores, **known)


def intent_rows(right: Mapping[str, int], count: int = 100) -> list[ComparedRow]:
    """Return rows of which each contestant has the last `right` answered rightly."""
    made = []
    for number in range(count):
        prompt, reference = MESSAGES[number % len(MESSAGES)]
        wrong = MESSAGES[(number + 3) % len(MESSAGES)][1]
        answers = {
            name: answered(
                reference if number >= count - correct else wrong,
                reference,
                fluency=3.0 + (number + place) % 3,
                explanations={"fluency": f"Names an intent, in {number % 3 + 1} words."},
                input_tokens=24,
                output_tokens=6,
                seconds=0.4 + place / 10 + number % 7 / 20,
            )
            for place, (name, correct) in enumerate(right.items())
        }
        made.append(ComparedRow(f"line-{number + 1}", prompt, reference, answers))
    return made


def result(name: str, rows: Sequence[ComparedRow], measured: Sequence[Metric], **known: Any) -> ContestantResult:
    """Return what came of a contestant, as the figures of its rows say."""
    given = [(row, row.answers[name]) for row in rows if name in row.answers]
    scored = [Row(row.id, row.prompt, scores=one.scores, failures=one.failures) for row, one in given]
    has_answer = [one for _, one in given if one.answer is not None]
    usd = Decimal(known.pop("thousand_usd", "0.1")) * len(has_answer) / 1000
    failures: dict[str, int] = {}
    for row in scored:
        for cause in set(row.failures.values()):
            failures[cause] = failures.get(cause, 0) + 1
    figures: dict[str, Any] = {
        "model": FLASH,
        "status": "completed",
        "metrics": summarise(scored, measured, {}),
        "rows": len(rows),
        "answered": len(has_answer),
        "blocked": sum(one.state == "blocked" for one in has_answer),
        "cut": sum(one.state == "cut" for one in has_answer),
        "failed_rows": sum(bool(one.failures) for _, one in given),
        "failures": failures,
        "answers_usd": usd,
        "judge_usd": usd * 3,
        "cost_usd": usd * 4,
        "input_tokens": 24 * len(has_answer),
        "output_tokens": 6 * len(has_answer),
        "latency": latency_of(one.seconds for one in has_answer if one.seconds is not None),
    }
    return ContestantResult(name=name, **{**figures, **known})


def comparison(contestants: Sequence[ContestantResult], **known: Any) -> ComparisonSummary:
    """Return the summary of these contestants."""
    missing = [one.name for one in contestants if one.status != "completed"]
    figures: dict[str, Any] = {
        "candidate": CANDIDATE,
        "dataset": "banking77",
        "outcome": "completed",
        "reason": f"{len(contestants) - len(missing)} of {len(contestants)} contestants completed."
        + (f" Without whole figures: {', '.join(missing)}." if missing else ""),
        "started_by": "promotion",
        "champion": CHAMPION,
        "prompts": "gs://genops-data/evaluation/banking77.jsonl",
        "rows": max((one.rows for one in contestants), default=0),
        "metrics": tuple(Measured.of(metric) for metric in (EXACT, ROUGE, FLUENCY)),
        "contestants": tuple(contestants),
        "cost_usd": sum((one.cost_usd for one in contestants), Decimal(0)),
        "estimated_usd": Decimal("4.20"),
        "started_at": datetime(2026, 11, 23, 8, tzinfo=UTC),
        "ended_at": datetime(2026, 11, 23, 8, 4, tzinfo=UTC),
        "rows_uri": f"{PREFIX}rows.jsonl",
        "parquet_uri": f"{PREFIX}rows.parquet",
        "report_uri": f"{PREFIX}report.html",
        "written_at": datetime(2026, 11, 23, 8, 4, tzinfo=UTC),
    }
    return ComparisonSummary(**{**figures, **known})


def intents() -> tuple[ComparisonSummary, list[ComparedRow]]:
    """Five contestants on 100 bank messages; a sixth may not be asked, a seventh is too dear."""
    rows = intent_rows(RIGHT)
    measured = (EXACT, ROUGE, FLUENCY)
    about: dict[str, dict[str, Any]] = {
        "champion": {"model": "champion", "candidate": CHAMPION, "called": ENDPOINT, "billed_model": FLASH},
        "candidate": {"model": CANDIDATE, "candidate": CANDIDATE, "called": ENDPOINT, "billed_model": FLASH},
        "flash-lite": {"model": LITE, "called": LITE, "billed_model": LITE},
        "flash-precise": {
            "model": FLASH,
            "called": FLASH,
            "settings": {"temperature": 0, "top_p": 0.1, "thinking": {"budget": 0}},
            "system_instruction": "Name the intent, and nothing else.",
        },
        "pro": {"model": PRO, "called": PRO, "settings": {"grounding": {"google_search": True}}},
    }
    results = [result(name, rows, measured, thousand_usd=THOUSAND_USD[name], **known) for name, known in about.items()]
    return comparison(
        [
            *results[:4],
            ContestantResult(
                name="europe",
                model="projects/genops-local/locations/europe-west4/endpoints/77",
                status="failed",
                reason=DENIED,
                help="Give the service account the role Vertex AI User, and start the comparison again.",
                rows=100,
            ),
            results[4],
            ContestantResult(
                name="dear",
                model=PRO,
                settings={"thinking": {"budget": 24_576}},
                status="refused",
                reason="It may cost $81.20, and budget.inference_usd allows $20.00.",
                rows=100,
                estimated_usd=Decimal("81.20"),
            ),
        ],
        notes=("pairwise was left out: it compares with one other answer.",),
    ), rows


def usual() -> str:
    return render(*intents())


SUMMARY = (
    "The customer asks where the card is. It was ordered two weeks ago, and has not arrived. Support offers to send"
    " another one free of charge."
)
SUMMARIES = (
    SUMMARY,
    SUMMARY.replace("and has", "but has"),
    "A card that was ordered a fortnight ago is late; a replacement is on offer.",
)


def summaries() -> str:
    """Four contestants, long prompts, answers that nearly agree, one cut and one blocked, one not scored."""
    prompt = "Summarise for a colleague:\n\n" + "Customer: Where is my card?\nSupport: I will look.\n" * 60
    rows = []
    for number in range(6):
        longer = " ".join(SUMMARIES) * 12 if number == 2 else SUMMARIES[0]
        rows.append(
            ComparedRow(
                f"call-{number + 1}",
                prompt,
                None,
                {
                    "flash": ComparedAnswer(longer, "complete", "STOP", {"fluency": 4.0}),
                    "flash, warmer": ComparedAnswer(SUMMARIES[1], "complete", "STOP", {"fluency": 4.0}),
                    "pro": ComparedAnswer(
                        SUMMARIES[2],
                        "complete",
                        "STOP",
                        {"fluency": 5.0},
                        {"fluency": "Short, and nothing is missing."},
                    ),
                    "lite": (
                        ComparedAnswer("The customer asks wh", "cut", "MAX_TOKENS", {"fluency": 1.0})
                        if number == 0
                        else ComparedAnswer("", "blocked", "SAFETY", failures={"fluency": "the answer is empty"})
                        if number == 1
                        else ComparedAnswer(None, failures={"fluency": "429 Resource exhausted, 5 times in 120 s"})
                    ),
                },
            )
        )
    names = {"flash": "0.8", "flash, warmer": "0.8", "pro": "5.3", "lite": "0.2"}
    results = [result(name, rows, (FLUENCY,), thousand_usd=usd) for name, usd in names.items()]
    return render(comparison(results, metrics=(Measured.of(FLUENCY),), champion=None, started_by="person"), rows)


def many(count: int, rows: int = 60) -> str:
    """So many contestants, in bunches that lie close to each other."""
    right = {f"variant-{one}-of-flash-at-{one % 4 / 4:g}": 20 + one * 37 % 40 for one in range(1, count + 1)}
    made = intent_rows(right, rows)
    results = [
        result(
            name, made, (EXACT, FLUENCY), thousand_usd=f"{0.1 + 0.004 * (one % 7) + (0.4 if one % 5 == 0 else 0):.3f}"
        )
        for one, name in enumerate(right, start=1)
    ]
    return render(comparison(results, metrics=(Measured.of(EXACT), Measured.of(FLUENCY))), made)


def twelve() -> str:
    return many(12)


def thirty() -> str:
    return many(30)


def one() -> str:
    """A single contestant, whose every answer is right."""
    rows = intent_rows({"champion": 10}, 10)
    return render(comparison([result("champion", rows, (EXACT,))], metrics=(Measured.of(EXACT),)), rows)


def much_measured() -> str:
    """Five contestants and eight metrics: the widest table that goes on a page."""
    told, rows = intents()
    names = ("exact_match", "rouge_1", "fluency", "bleu", "rouge_l", "safety", "coherence", "verbosity")
    contestants = [
        one.model_copy(
            update={"metrics": {name: figures for name in names if (figures := one.metrics.get("exact_match"))}}
        )
        for one in told.contestants
    ]
    measured = tuple(Measured(name=name, kind="computed", low=0, high=1) for name in names)
    return render(told.model_copy(update={"contestants": tuple(contestants), "metrics": measured}), rows)


def nothing() -> str:
    """Nobody was asked: there is not one figure."""
    refused = [
        ContestantResult(name=name, model=FLASH, status="refused", reason="budget.monthly_usd is used up.", rows=100)
        for name in ("flash", "champion")
    ]
    return render(
        comparison(
            refused,
            outcome="refused",
            reason="Nobody was asked: budget.monthly_usd is used up.",
            missing_usd=Decimal("3.5"),
            rows_uri=None,
            parquet_uri=None,
        ),
        [],
    )


def hostile() -> str:
    """Every text is one that would like to be more than text."""
    names = [f"{place} {text[:300]}" for place, text in enumerate(HOSTILE)]
    rows = [
        ComparedRow(
            f"{number} {text[:300]}",
            text,
            text,
            {
                name: ComparedAnswer(
                    HOSTILE[(number + place) % len(HOSTILE)],
                    "blocked" if place == 3 else "complete",
                    text,
                    {"exact_match": (number + place) % 10 / 10},
                    {"exact_match": text},
                )
                for place, name in enumerate(names[:5])
            }
            | {name: ComparedAnswer(failures={"exact_match": text}) for name in names[5:8]},
        )
        for number, text in enumerate(HOSTILE)
    ]
    results = [
        result(
            name,
            rows,
            (EXACT,),
            model=text,
            called=text[::-1],
            candidate=text,
            settings={text: {text: text}},
            system_instruction=text,
            thousand_usd=f"{0.1 + place / 10}",
            status="failed" if place > 4 else "completed",
            reason=text,
            help=text,
        )
        for place, (name, text) in enumerate(zip(names, HOSTILE, strict=True))
    ]
    told = comparison(results, metrics=(Measured.of(EXACT),), notes=HOSTILE, dataset=HOSTILE[0], prompts=HOSTILE[2])
    return render(told.model_copy(update={"reason": " ".join(HOSTILE), "rows_uri": HOSTILE[1]}), rows)
