"""One example: every form on Google's pages passes, and what cannot be right does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_events.catalogue.tokens import json_tokens
from genops_events.reading.json_places import column_of
from genops_events.training.examples import measure_example
from genops_events.training.reasons import BadExample, Reason


def turn(role: str | None, *parts: Any) -> dict[str, Any]:
    held = [{"text": part} if isinstance(part, str) else part for part in parts]
    return {"parts": held} if role is None else {"role": role, "parts": held}


def example(*turns: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"contents": turns, **more}).encode()


def call(name: str = "get_product_sku", **args: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": args}}


def response(name: str = "get_product_sku", **more: Any) -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": {"output": "True"}, **more}}


def file(uri: str = "gs://bucket/object", mime_type: str = "image/png") -> dict[str, Any]:
    return {"fileData": {"fileUri": uri, "mimeType": mime_type}}


def inline(data: str) -> dict[str, Any]:
    return {"inlineData": {"data": data, "mimeType": "image/png"}}


TOOLS = [{"functionDeclarations": [{"name": "get_product_sku", "parameters": {"type": "OBJECT", "properties": {}}}]}]
SYSTEM = {"role": "system", "parts": [{"text": "You help users find the best product for them."}]}
ASKED, CALLED, TOLD = (
    turn("user", "Do you have it in stock?"),
    turn("model", call(product="Pixel")),
    turn("model", "Yes."),
)


@pytest.mark.parametrize(
    "line",
    [
        example(ASKED, CALLED, system_instruction=SYSTEM, tools=TOOLS),
        # Google's example of a chat: the turn that holds the response has no role.
        example(ASKED, CALLED, turn(None, response()), TOLD, system_instruction=SYSTEM, tools=TOOLS),
        example(ASKED, turn("model", call(), call("get_store_location")), tools=TOOLS),
        example(ASKED, turn("model", call(), call("b")), turn("user", response(), response("b")), TOLD),
        example(ASKED, turn("model", call(), call("b")), turn("tool", response("b")), turn("tool", response()), TOLD),
        example(ASKED, turn("model", call(), call()), turn("function", response(id="1"), response(id="2")), TOLD),
        example(ASKED, CALLED, turn("user", response(), "and in blue?"), CALLED),
        example(ASKED, CALLED, turn("user", "never mind"), TOLD),
        example(turn("user", file(), file("gs://other-bucket/a.pdf", "application/pdf"), "Which?"), TOLD),
        example(turn("user", {**file(mime_type="video/mp4"), "videoMetadata": {"startOffset": "1s"}}), TOLD),
        example(turn("user", inline("QUJD")), TOLD),
        example(turn("user", inline("QUI=")), TOLD),
        example(turn("user", inline("QUI")), TOLD),
        example(turn("user", inline("Q_-/+A==")), TOLD),
        example(turn(None, "a"), TOLD),
        example(ASKED, TOLD, generationConfig={"mediaResolution": "MEDIA_RESOLUTION_LOW"}, labels={"a": "b"}),
    ],
)
def test_every_form_of_googles_pages_is_an_example(line: bytes) -> None:
    assert measure_example(line).tokens >= 1


@pytest.mark.parametrize(
    ("line", "reason", "at"),
    [
        (example(ASKED, turn("model", {"functionCall": {"args": {}}})), Reason.EMPTY_PART, b'{"functionCall"'),
        (example(ASKED, turn("model", {"functionCall": {"name": ""}})), Reason.EMPTY_PART, b'{"functionCall"'),
        (example(ASKED, turn("model", {"functionCall": {"name": "f", "args": []}})), Reason.WRONG_TYPE, b'"args"'),
        (example(turn("user", call()), TOLD), Reason.WRONG_PART, b'{"functionCall"'),
        (example(ASKED, turn("model", response())), Reason.WRONG_PART, b'{"functionResponse"'),
        (example(ASKED, turn("model", file())), Reason.WRONG_PART, b'{"fileData"'),
        (example(ASKED, CALLED, turn("function", "a text"), TOLD), Reason.WRONG_PART, b'{"text": "a text"'),
        (example(ASKED, TOLD, systemInstruction={"parts": [file()]}), Reason.WRONG_PART, b'{"fileData"'),
        (example(ASKED, TOLD, system_instruction={"parts": [call()]}), Reason.WRONG_PART, b'{"functionCall"'),
        (example(turn("user", response()), TOLD), Reason.UNMATCHED_RESPONSE, b'"name"'),
        (example(ASKED, TOLD, turn("function", response()), TOLD), Reason.UNMATCHED_RESPONSE, b'"name"'),
        (
            example(ASKED, CALLED, ASKED, TOLD, turn("tool", response()), TOLD),
            Reason.UNMATCHED_RESPONSE,
            b'"name": "get_product_sku", "response"',
        ),
        (example(ASKED, CALLED, turn(None, response("other")), TOLD), Reason.UNMATCHED_RESPONSE, b'"name": "other"'),
        (example(ASKED, CALLED, turn(None, response(), response()), TOLD), Reason.UNMATCHED_RESPONSE, None),
        (
            example(ASKED, CALLED, turn(None, {"functionResponse": {"name": "get_product_sku"}}), TOLD),
            Reason.EMPTY_PART,
            b'{"functionResponse"',
        ),
        (
            example(ASKED, CALLED, turn(None, {"functionResponse": {"name": "get_product_sku", "response": 1}}), TOLD),
            Reason.WRONG_TYPE,
            b'"response"',
        ),
        (example(turn("user", file("/home/cat.png")), TOLD), Reason.BAD_MEDIA, b'"fileUri"'),
        (example(turn("user", file("gs://bucket")), TOLD), Reason.BAD_MEDIA, b'"fileUri"'),
        (example(turn("user", file("ftp://host/cat.png")), TOLD), Reason.BAD_MEDIA, b'"fileUri"'),
        (example(turn("user", file("https://host/cat.png")), TOLD), Reason.BAD_MEDIA, b'"fileUri"'),
        (example(turn("user", file("gs://bucket/../cat.png")), TOLD), Reason.BAD_MEDIA, b'"fileUri"'),
        (example(turn("user", file(mime_type="png")), TOLD), Reason.BAD_MEDIA, b'"mimeType"'),
        (example(turn("user", inline("not base64!")), TOLD), Reason.BAD_MEDIA, b'"data"'),
        (example(turn("user", inline("QUJDR")), TOLD), Reason.BAD_MEDIA, b'"data"'),
        (example(turn("user", inline("QUI==")), TOLD), Reason.BAD_MEDIA, b'"data"'),
        (example(turn("user", inline("Q=JD")), TOLD), Reason.BAD_MEDIA, b'"data"'),
        (example(turn("user", inline("QÜJD")), TOLD), Reason.BAD_MEDIA, b'"data"'),
        (example(turn("user", "a"), turn("model")), Reason.EMPTY_PART, b'"parts": []'),
        (example(ASKED, turn("assistant", "b")), Reason.WRONG_ROLE, b'"role": "assistant"'),
        (example(ASKED, turn(None, "b")), Reason.WRONG_ROLE, b'{"parts": [{"text": "b"'),
        (example(ASKED, ASKED, TOLD), Reason.WRONG_ORDER, None),
        (example(ASKED, TOLD, tools={}), Reason.WRONG_TYPE, b'"tools"'),
        (example(ASKED, TOLD, extra=1), Reason.UNKNOWN_KEY, b'"extra"'),
    ],
)
def test_what_cannot_be_right_is_refused_at_its_byte(line: bytes, reason: Reason, at: bytes | None) -> None:
    with pytest.raises(BadExample) as caught:
        measure_example(line)
    assert caught.value.reason is reason, caught.value.message
    column = column_of(line, caught.value.place)
    assert column is not None
    if at is not None:
        assert column == line.index(at) + 1


def test_declared_tools_count_as_tokens() -> None:
    without = measure_example(example(ASKED, CALLED)).tokens
    assert measure_example(example(ASKED, CALLED, tools=TOOLS)).tokens == without + json_tokens(TOOLS)


def test_files_are_counted_by_kind() -> None:
    pdf = file(mime_type="application/pdf")
    measure = measure_example(example(turn("user", file(), inline("QUJD"), pdf, file(mime_type="audio/mp3")), TOLD))
    assert (measure.media, measure.images, measure.documents) == (4, 2, 1)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "line",
    [example(ASKED, TOLD, systemInstruction=SYSTEM), example(ASKED, CALLED, turn(None, response()), TOLD, tools=TOOLS)],
)
def test_white_space_and_the_order_of_keys_are_no_part_of_an_examples_identity(line: bytes) -> None:
    same = json.dumps(shuffled(json.loads(line)), indent=1).replace("\n", "").replace("stock", "st\\u006fck").encode()
    assert same != line
    assert measure_example(same).identity == measure_example(line).identity
    other = line.replace(b"stock", b"shops")
    assert measure_example(other).identity != measure_example(line).identity


def test_who_says_what_is_part_of_an_examples_identity() -> None:
    lines = [
        example(turn("user", "a"), turn("model", "b")),
        example(turn("user", "b"), turn("model", "a")),
        example(turn("user", "a"), turn("model", "b"), systemInstruction={"parts": [{"text": "a"}]}),
        example(turn("user", "a", "b"), turn("model", "b")),
        example(turn("user", "a"), turn("model", "b"), generationConfig={"temperature": 1}),
        example(turn("user", "a"), turn("model", "b"), generationConfig={"temperature": 2}),
    ]
    assert len({measure_example(line).identity for line in lines}) == len(lines)


def test_column_is_that_of_the_key_whatever_the_texts_hold() -> None:
    line = rb'{"contents":[{"role":"us\"er, {[","parts":[{"text":"\"role\": {"},{"a":1}]} , {"role":"x"}]}'
    assert column_of(line, "contents") == 2
    assert column_of(line, "contents[0].role") == line.index(b'"role"') + 1
    assert column_of(line, "contents[0].parts[1].a") == line.index(b'"a"') + 1
    assert column_of(line, "contents[1]") == line.index(b'{"role":"x"') + 1
    assert column_of(line, "contents[1].role") == line.index(b'"role":"x"') + 1
    assert column_of(line, "contents[1].parts[0].text") == line.index(b'{"role":"x"') + 1
    assert column_of(line, "tools") is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "g"]), inner, max_size=3),
    max_leaves=12,
)


def places(value: Any, place: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        steps = [(f"{place}.{key}" if place else key, item) for key, item in value.items()]
    else:
        steps = [(f"{place}[{index}]", item) for index, item in enumerate(value)] if isinstance(value, list) else []
    return steps + [deeper for at, item in steps for deeper in places(item, at)]


@given(VALUES)
def test_column_of_every_place_leads_to_its_value(value: Any) -> None:
    line = json.dumps(value, ensure_ascii=False).encode()
    for place, item in places(value):
        column = column_of(line, place)
        assert column is not None
        rest = line[column - 1 :].decode()
        if not place.endswith("]"):
            key, end = json.JSONDecoder().raw_decode(rest)
            assert key == place.rpartition(".")[2]
            rest = rest[end:].lstrip(" :")
        assert json.JSONDecoder().raw_decode(rest)[0] == item
