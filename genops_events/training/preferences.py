"""Check one line of a file for preference tuning: a prompt and two answers, of which one is preferred.

The form is that of Google's page "Prepare preference tuning data for Gemini models" (read in an undated stored copy,
November 2026): `contents` that end with the user's turn, an optional system instruction, and `completions`, a pair with
the scores 1 (preferred) and 0. Text only.
"""

from __future__ import annotations

import msgspec

from genops_events.training.examples import Content, Conversation, Measure, opened, take_turns
from genops_events.training.parts import MODEL, ExampleTally, take_parts, text_only
from genops_events.training.reasons import BadExample, Reason, shown
from genops_events.training.wording import decoded, refuse_non_utf8

_ANSWER = '{"score": 1, "completion": {"role": "model", "parts": [{"text": …}]}}'
FORM = f'{{"contents": [{{"role": "user", "parts": [{{"text": …}}]}}], "completions": [{_ANSWER}, {{"score": 0, …}}]}}'
_PAIR = 2


class _Completion(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    score: float | None = None
    completion: Content | None = None


class _Preference(Conversation, forbid_unknown_fields=True, gc=False):
    completions: list[_Completion] | None = None


_decode = msgspec.json.Decoder(_Preference).decode


def measure_preference(line: bytes) -> Measure:
    """Return the figures of the pair of answers on this line; raise BadExample with its first error.

    "The sum of maximum input and maximum completion token counts" has a limit, so `tokens` are those of the prompt and
    the longer answer. The prompt is billed twice, and both answers once ("the number of tokens in the prompt times two, plus
    the completion tokens", Google's page "About preference tuning for Gemini models").
    """
    if not line.isascii():
        refuse_non_utf8(line)
    example, identity = decoded(_decode, line, FORM)
    prompt = opened(example, FORM)
    contents = example.contents or []
    if take_turns(contents, prompt, texts_only=True) is MODEL:
        raise BadExample(
            Reason.WRONG_ORDER,
            "The last turn of `contents` is the model's; it must be the user's, and the answers belong to `completions`.",
            place=f"contents[{len(contents) - 1}]",
        )
    shorter, longer = sorted(_answer_tokens(example.completions or []))
    return Measure(prompt.tokens + longer, identity, billed_on_top=prompt.tokens + shorter)


def _answer_tokens(completions: list[_Completion]) -> list[int]:
    """Return the tokens of each of the two answers; raise BadExample if they are not a pair."""
    if len(completions) != _PAIR:
        found = f"has {len(completions)} answers" if completions else "is missing or empty"
        raise BadExample(
            Reason.WRONG_COMPLETIONS,
            f"`completions` {found}; there must be two, the preferred one and the other: {FORM}.",
            place="completions",
        )
    tokens = []
    for index, one in enumerate(completions):
        at = f"completions[{index}]"
        if one.score not in (0, 1):
            score = "missing" if one.score is None else f"{one.score:g}"
            raise BadExample(
                Reason.WRONG_COMPLETIONS,
                f"`{at}.score` is {score}; it must be 1 for the preferred answer and 0 for the other.",
                place=f"{at}.score",
            )
        if one.completion is None:
            raise BadExample(Reason.WRONG_COMPLETIONS, f"`{at}.completion` is missing, the answer itself.", place=at)
        if one.completion.role not in ("model", "", None):
            raise BadExample(
                Reason.WRONG_ROLE,
                f"`{at}.completion.role` is {shown(one.completion.role or '')}, an answer is the model's.",
                place=f"{at}.completion.role",
            )
        tally = ExampleTally()
        take_parts(one.completion.parts or [], f"{at}.completion", text_only(MODEL), tally)
        tokens.append(tally.tokens)
    if completions[0].score == completions[1].score:
        raise BadExample(
            Reason.WRONG_COMPLETIONS,
            f"Both answers have the score {completions[0].score:g}; one must be preferred with 1, the other have 0.",
            place="completions[1].score",
        )
    return tokens
