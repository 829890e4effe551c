"""One rule for the tokens of a text: never too low for what people and programs write, and the stand-in's own is the same."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gcp_stand_ins.vertex import tokens as stand_in
from genops_events.catalogue.tokens import estimated_tokens, fewest_tokens, json_tokens, most_tokens

# What the tokenizer of Gemma 3 counts, measured once (docs/adr/0020).
MEASURED = {
    "english": ("The committee met on Thursday, and nobody could say why it had done so.", 16),
    "german": ("Das Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz wurde verabschiedet.", 22),
    "polish": ("Chrząszcz brzmi w trzcinie w Szczebrzeszynie, a źdźbło trawy drży na wietrze.", 34),
    "finnish": ("Epäjärjestelmällistyttämättömyydellänsäkäänköhän hän lähti kotiin.", 27),
    "swahili": ("Kadi yangu iko wapi na kwa nini haijafika kwenye anwani yangu ya nyumbani mpaka sasa?", 30),
    "vietnamese": ("Tôi muốn biết thẻ của tôi đang ở đâu và tại sao nó chưa được gửi đến địa chỉ nhà tôi.", 22),
    "russian": ("Где моя банковская карта и почему она до сих пор не пришла?", 16),
    "hindi": ("मेरा कार्ड कहाँ है और यह अभी तक मेरे पते पर क्यों नहीं पहुँचा?", 16),
    "thai": ("บัตรของฉันอยู่ที่ไหนและทำไมยังไม่มาถึงที่อยู่ของฉัน", 17),
    "japanese": ("私のカードはどこにありますか。なぜまだ登録した住所に届いていないのでしょうか。", 19),
    "chinese": ("我的银行卡在哪里。为什么还没有寄到我的地址。请尽快回复。", 16),
    "korean": ("제 카드는 어디에 있고 왜 아직 제 주소로 도착하지 않았나요?", 17),
    "tibetan": ("ངའི་ཤོག་བྱང་ག་པར་ཡོད་དམ།", 15),
    "emoji": ("😀🎉👍🏽👨‍👩‍👧‍👦🇩🇪🔥", 14),
}
RAW = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(30))
ROWS = [{"user_id": number, "name": f"abc{number}", "price": number * 1.37} for number in range(50)]
MADE = {
    "base64": (base64.b64encode(RAW).decode(), 909),
    "hexadecimal": (RAW.hex(), 1688),
    "capital hexadecimal": (RAW.hex().upper(), 1701),
    "digits": ("31415926535897932384626433832795028841971" * 5, 205),
    "json": (json.dumps(ROWS), 1579),
    "indented json": (json.dumps(ROWS, indent=4), 2131),
}
SCRIPTS = st.text(
    st.characters(min_codepoint=1, max_codepoint=0x2FFF, exclude_categories=["Cs"])
    | st.characters(min_codepoint=0x3000, max_codepoint=0x1FFFF, exclude_categories=["Cs"])
    | st.sampled_from("abc xyz 019 AZ\n\t_-{}[]é日ไ한😀\u200d\u0301")
)


@pytest.mark.parametrize(("text", "counted"), [*MEASURED.values(), *MADE.values()], ids=[*MEASURED, *MADE])
def test_no_text_that_people_or_programs_write_is_counted_too_low(text: str, counted: int) -> None:
    assert counted <= estimated_tokens(text) < 4 * counted
    assert fewest_tokens(text) <= counted <= most_tokens(text)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        *(("", 0), ("a", 1), ("one", 1), ("four", 2), ("a b c", 2), ("ABC", 3), ("2026", 4), ("12ab", 4), ("a.", 2)),
        *(("你好世界", 4), ("naïve", 4), ("😀", 4), ("\n\n", 2), ("สวัสดี", 6), ("\u0000", 1)),
    ],
)
def test_the_rule_by_example(text: str, tokens: int) -> None:
    assert estimated_tokens(text) == tokens


@given(SCRIPTS)
@example("")
@example("0")
@example("1234567")
@example("é1é1")
@example("ấ\u0301😀日本")
def test_the_stand_in_counts_as_it_does(text: str) -> None:
    assert stand_in.count_tokens(text) == estimated_tokens(text)
    pieces = stand_in.split_tokens(text)
    assert ("".join(pieces), len(pieces)) == (text, estimated_tokens(text))


@pytest.mark.parametrize("text", [text for text, _ in (*MEASURED.values(), *MADE.values())], ids=[*MEASURED, *MADE])
def test_the_stand_in_counts_the_same_of_real_texts(text: str) -> None:
    assert stand_in.count_tokens(text) == estimated_tokens(text)


@given(SCRIPTS)
def test_every_estimate_is_between_the_bounds(text: str) -> None:
    assert fewest_tokens(text) <= estimated_tokens(text) <= most_tokens(text)


@given(SCRIPTS, SCRIPTS)
def test_more_text_never_has_fewer_tokens(text: str, more: str) -> None:
    assert estimated_tokens(text + more) >= estimated_tokens(text)


def test_the_calls_of_functions_are_counted_as_the_text_that_is_sent() -> None:
    call: dict[str, Any] = {"functionCall": {"name": "find", "args": {"card_id": 7, "city": "東京"}}}
    told = {"functionResponse": {"name": "find", "response": {"found": True}}}
    contents = [{"role": "model", "parts": [call]}, {"role": "user", "parts": [told]}]
    expected = json_tokens(call["functionCall"]) + json_tokens(told["functionResponse"])
    assert stand_in.call_tokens(contents) == expected > 20
