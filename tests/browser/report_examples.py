"""Reports as evaluations write them, with figures that can be counted by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from genops_events.catalogue import metrics
from genops_events.evaluation.gates import Gate, judge
from genops_events.evaluation.report import Report, report_html
from genops_events.evaluation.rows import Row, failed_rows, summarise
from genops_events.record.endings import State

CANDIDATE, CHAMPION = "banking77-2cdbbb2a21d6eddc", "banking77-7c1f0a94be52d3f0"
ASKED = metrics.JudgeCalls(model="", samples=1)
EXACT, ROUGE = metrics.computed("exact_match"), metrics.computed("rouge_1")
FLUENCY = metrics.ready_made("fluency", ASKED)
PAIRWISE = metrics.pairwise({"correct": "Names the right intent."}, show_reference=True, judge=ASKED)
WORDS = metrics.python_metric("words_saved", "banking.metrics:words_saved")
ALL = (EXACT, ROUGE, FLUENCY, PAIRWISE, WORDS)
GATE = Gate({"exact_match": 0.7, "fluency": 3.0}, {"exact_match": 0.05}, failed_rows=2)

MESSAGES = (
    ("I am still waiting on my card?", "card_arrival"),
    ("What can I do if my card still hasn't arrived after 2 weeks?", "card_arrival"),
    ("How do I locate my card?", "card_linking"),
    ("My transfer was declined, and nobody tells me why.", "declined_transfer"),
    ("Why was I charged a fee for withdrawing cash abroad?", "cash_withdrawal_charge"),
    ("The exchange rate you applied is wrong.", "wrong_exchange_rate_for_cash_withdrawal"),
    ("Can I top up with Apple Pay?", "apple_pay_or_google_pay"),
    ("Someone used my card details, please freeze it at once!", "compromised_card"),
)

HOSTILE = (
    "<script>window.ran = 1; document.title = 'taken'</script>",
    "<img src=x onerror=\"window.ran = 2\"><svg onload='window.ran = 3'>",
    "\"'><iframe src='https://example.com/'></iframe><style>main { display: none }</style>",
    "</dd></dl></details></main><h1>Passed</h1><!-- & &lt;script&gt; ]]>",
    "\u202eשלום עולם: هذا نص عربي طويل \u202dwith English in it\u2066",  # noqa: RUF001 - Hebrew is meant
    "w" * 20_000,
    "a line\n" * 2_500,
    "👩‍👩‍👧‍👦🏳️‍🌈🇨🇭" * 300,
    "a\u0301\u0300" + "\u0301" * 200 + "\x00\x07\ud83d",
    "",
)


def intent_rows(right: int, champion_right: int, count: int = 100) -> list[Row]:
    """Return rows of which the first `count - right` were answered wrongly, and the champion the first of its own."""
    made = []
    for number in range(count):
        prompt, reference = MESSAGES[number % len(MESSAGES)]
        wrong = MESSAGES[(number + 3) % len(MESSAGES)][1]
        own, theirs = number >= count - right, number >= count - champion_right
        won = 0.5 if own == theirs else float(own)
        made.append(
            Row(
                id=f"line-{number + 1}",
                prompt=prompt,
                reference=reference,
                answer=reference if own else wrong,
                state="complete",
                champion_answer=reference if theirs else wrong,
                scores={
                    "exact_match": float(own),
                    "rouge_1": 1.0 if own else (number % 6) / 10,
                    "fluency": float(min(5, 2 + own + number % 3)),
                    "pairwise": won,
                    "words_saved": (number * 7 % 23) - 8.0,
                },
                champion_scores={
                    "exact_match": float(theirs),
                    "rouge_1": 1.0 if theirs else (number % 5) / 10,
                    "fluency": float(min(5, 2 + theirs + number % 2)),
                    "words_saved": (number * 5 % 19) - 8.0,
                },
                explanations={
                    "fluency": "Reads well, with no mistake of grammar." if own else "Understandable, but curt.",
                    "pairwise": "Both name an intent; only one of them fits what the customer asks for.",
                },
            )
        )
    return made


def odd_rows() -> list[Row]:
    """Return two rows without a score, and three that the model was tuned on."""
    failing = {"fluency": "503 The judge answered nothing within 60 s, three times; it was asked on 3 occasions."}
    return [
        *(Row(id=f"failing-{one}", prompt="Is there a limit?", reference="limits", failures=failing) for one in (1, 2)),
        *(Row(id=f"known-{one}", prompt="Where is my card?", left_out=f"line {one}") for one in (1, 2, 3)),
    ]


def report(
    rows: Sequence[Row],
    *,
    champion: str | None = CHAMPION,
    measured: Sequence[metrics.Metric] = ALL,
    gate: Gate = GATE,
    failed: int | None = None,
) -> Report:
    """Return the report of these rows, judged as the evaluation judges them."""
    if champion is None:
        rows = [
            replace(
                row,
                champion_answer=None,
                champion_scores={},
                scores={k: v for k, v in row.scores.items() if k != "pairwise"},
            )
            for row in rows
        ]
    figures = summarise(rows, measured, {})
    judgement = judge(
        figures, gate, failed_rows=failed_rows(rows) if failed is None else failed, champion=champion is not None
    )
    return Report(
        candidate=CANDIDATE,
        dataset="banking77",
        champion=champion,
        passed=judgement.passed,
        reason=judgement.reason,
        decisive="exact_match",
        metrics=measured,
        figures=figures,
        conditions=judgement.conditions,
        rows=rows,
        written_at=datetime(2026, 11, 23, 8, tzinfo=UTC),
    )


def passed() -> str:
    """The candidate has 88 of 100 rows right, the champion 81."""
    return report_html(report([*intent_rows(88, 81), *odd_rows()]))


def refused() -> str:
    """The candidate has 31 of 100 rows right, as with shuffled labels; the champion 81."""
    return report_html(report([*intent_rows(31, 81), *odd_rows()]))


def known_in_part() -> str:
    """The champion's scores are known for the first 40 rows: 21 right there, the candidate 28."""
    rows = intent_rows(88, 81)
    return report_html(report([*(replace(row, champion_scores={}) for row in rows[40:]), *rows[:40]]))


def first() -> str:
    """There is no champion, one metric, and no gate."""
    return report_html(report(intent_rows(64, 0), champion=None, measured=(EXACT,), gate=Gate()))


def hostile() -> str:
    """Every text is one that would like to be more than text."""
    rows = [
        Row(
            id=f"{number} {text[:300]}",
            prompt=text,
            reference=text,
            answer=text,
            state="complete",
            champion_answer=text,
            scores={"exact_match": number / 20},
            champion_scores={"exact_match": 0.5},
            explanations={"exact_match": text},
        )
        for number, text in enumerate(HOSTILE)
    ]
    bad = [Row(id=f"bad {text}", prompt=text, failures={"exact_match": text or "no score"}) for text in HOSTILE]
    known = [Row(id=f"known {text[:400]}", prompt=text, left_out=text) for text in HOSTILE]
    made = report([*rows, *bad, *known], measured=(EXACT,), gate=Gate({"exact_match": 0.9}))
    return report_html(replace(made, reason=made.reason + " Most often: " + " ".join(HOSTILE)))


def no_answers() -> str:
    """Of six answers, one can be scored: the others are cut, blocked or empty, or were refused."""
    states: tuple[State, ...] = ("cut", "cut", "blocked", "empty")
    rows = [
        Row(id="line-1", prompt="p", reference="a", answer="a", state="complete", scores={"exact_match": 1.0}),
        *(
            Row(id=f"line-{number}", prompt="p", answer="", state=state, failures={"exact_match": f"it is {state}"})
            for number, state in enumerate(states, start=2)
        ),
        Row(id="line-6", prompt="p", failures={"exact_match": "no answer: 400"}),
    ]
    return report_html(report(rows, measured=(EXACT,), gate=Gate({"exact_match": 0.9})))


def unanswered() -> str:
    """No row was answered: there is no figure at all."""
    rows = [
        Row(id=f"line-{one}", prompt="p", failures={"exact_match": "the model is not deployed"}) for one in range(60)
    ]
    return report_html(report(rows, measured=(EXACT,)))
