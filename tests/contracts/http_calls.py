"""Hold one recorded call over HTTP to Google's discovery documents, and to our own rules where those are silent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from contracts import ours
from contracts.bodies import body_of, events_of, inner_calls, json_of, parts_of
from contracts.documents import NAMES, Document, Kind, Method, document
from contracts.values import Reading, Values

_REFUSED = (400, 501)
"""Answers that say that the request is not as it should be: what is wrong with it is no fault of the stand-in then."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found of one call.

    Args:
        method: whose rules it was held to, such as `storage.objects.insert`.
        problems: what breaks them.
        deprecated: what Google is about to give up, of what was sent or answered.
    """

    method: str
    problems: tuple[str, ...]
    deprecated: frozenset[str] = frozenset()


def look_at(line: Mapping[str, Any]) -> Iterator[Looked]:
    """Yield what is found of a recorded call; of a batch, of each call in it."""
    if (
        line["service"] == "storage"
        and line["path"] == "/batch/storage/v1"
        and line["status"] == 200
        and line["answered"]
    ):
        yield Looked("storage.batch", ())
        for inner in inner_calls(line):  # https://cloud.google.com/storage/docs/batch
            yield _look_at_one(inner)
    else:
        yield _look_at_one(line)


def _look_at_one(line: Mapping[str, Any]) -> Looked:
    found = _method_of(line)
    if found is None:
        return _look_by_our_rules(line)
    of, method, kind = found
    name = method.id if of.name != "aiplatform.v1beta1" else f"{method.id} (v1beta1)"
    request, answer = Reading(), Reading()
    _Call(line, of, method, kind).check(request, answer)
    if line["status"] in _REFUSED:
        request = Reading()
    problems = [*(f"request: {one}" for one in request.problems), *(f"answer: {one}" for one in answer.problems)]
    deprecated = request.deprecated | answer.deprecated
    if method.of.get("deprecated"):
        deprecated.add("the method itself")
    return Looked(name, tuple(problems), frozenset(deprecated))


def _method_of(line: Mapping[str, Any]) -> tuple[Document, Method, Kind] | None:
    path = line["path"]
    if line["service"] == "vertex" and "/operations/" in path:
        # Google's clients look at operations below /ui/: services/*/transports/rest.py of google-cloud-aiplatform 2.7.0, read on 2026-11-30.
        path = re.sub("^/ui/", "/v1/", path)
    for name in NAMES[line["service"]]:
        # Of the two documents of Vertex AI, each has the paths of its own version alone.
        if line["service"] == "vertex" and not path.startswith(f"/{name.partition('.')[2]}/"):
            continue
        of = document(name)
        found = of.find(line["method"], path)
        if found is not None:
            return of, *found
    return None


def _look_by_our_rules(line: Mapping[str, Any]) -> Looked:
    """Return what our own rules find of a call that no document has: it may be refused, or has a rule here."""
    where = f"{line['method']} {line['path']}"
    rule = ours.CALLS.get((line["service"], where))
    if rule is not None and not line["answered"]:
        return Looked(rule.name, ())
    if line["status"] in (404, 405, 501):
        return Looked(f"{line['service']}: no such method, and refused", tuple(_of_error(line)))
    if rule is None:
        return Looked(
            "without a rule", (f"no document of Google has {where}, and no rule of ours: answered {line['status']}",)
        )
    try:
        return Looked(rule.name, tuple(rule.check(line)))
    except ValueError as error:
        return Looked(rule.name, (f"no JSON: {error}",))


def _of_error(line: Mapping[str, Any]) -> list[str]:
    try:
        return [
            f"answer: {one}"
            for one in ours.problems_of_error(line["service"], line["status"], json_of(body_of(line, "answer")))
        ]
    except ValueError as error:
        return [f"answer: the error is no JSON: {error}"]


@dataclass(frozen=True, slots=True)
class _Call:
    line: Mapping[str, Any]
    of: Document
    method: Method
    kind: Kind

    @property
    def _query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.line["query"], keep_blank_values=True)

    def check(self, request: Reading, answer: Reading) -> None:
        self._check_query(request)
        if self.line["request_read"]:
            self._check_request(request)
        if self.line["answered"] and not self.line.get("answer_given"):
            self._check_answer(answer)

    def _check_query(self, found: Reading) -> None:
        known = {**self.of.parameters, **self.method.of.get("parameters", {})}
        values = Values(self.of.schemas, found, of_request=True)
        given = self._query
        for name, text in given:
            where = f"?{name}"
            if ours.is_known_parameter(self.line["service"], name, text):
                continue
            schema = known.get(name)
            if schema is None and self.of.name.startswith("aiplatform"):
                schema = known.get(ours.camel(name))
            if schema is None or schema.get("location") == "path":
                found.problems.append(f"{where}={text} is unknown to {self.method.id}")
                continue
            if schema.get("deprecated"):
                found.deprecated.add(where)
            if name == "pageToken" and not text:
                found.problems.append(f"{where} is empty: the first page has none")
            values.check(ours.parameter_value(text, schema), schema, where)
        names = {ours.camel(name) for name, _ in given} | {name for name, _ in given}
        for name, schema in known.items():
            if schema.get("required") and schema.get("location") == "query" and name not in names:
                found.problems.append(f"?{name} is missing, and required")

    def _check_request(self, found: Reading) -> None:
        body = body_of(self.line, "request")
        if self.kind is Kind.UPLOAD:
            body = self._resource_of_upload(body, found)
            if body is None:
                return
        schema = self.method.of.get("request")
        if schema is None:
            if body.strip() not in (b"", b"{}"):
                found.problems.append(f"a body, which {self.method.id} does not take: {body[:80]!r}")
            return
        if not body.strip():
            if self.kind is Kind.PLAIN:
                body = b"{}"
            else:
                return
        try:
            value = json_of(body)
        except ValueError as error:
            found.problems.append(f"the body is no JSON: {error}")
            return
        values = Values(
            self.of.schemas,
            found,
            of_request=True,
            protobuf=self.of.name.startswith("aiplatform"),
            creates=self.method.id if self.method.verb == "POST" else None,
            in_url=frozenset(self.method.url_names | {ours.camel(name) for name, _ in self._query}),
            enum_numbers=True,
            loose=ours.LOOSE,
        )
        values.check(value, schema, "body")
        if not found.problems:
            found.problems += ours.problems_of_request(self.method.id, value)

    def _resource_of_upload(self, body: bytes, found: Reading) -> bytes | None:
        """Return the JSON that comes with an upload; None where there is none to look at."""
        if self.line["method"] != "POST":
            return None
        match self._query_names.get("uploadType"):
            case "resumable":
                return body
            case "multipart":
                parts = parts_of(self.line["request_type"], body)
                if len(parts) < 2 or parts[0][0] != "application/json":
                    found.problems.append("a multipart upload is not a part of JSON and one of content")
                    return None
                named = json_of(parts[0][1] or b"{}").get("name", self._query_names.get("name", ""))
                if not named.endswith(
                    ours.PREDICTIONS
                ):  # not the stand-in's: a test plays Vertex AI, with what that should not write
                    self._check_content(named, parts[1][1], found)
                return parts[0][1]
            case "media":
                self._check_content(self._query_names.get("name", ""), body, found)
                return None
            case other:
                found.problems.append(f"?uploadType={other} is none of media, multipart, resumable")
        return None

    @property
    def _query_names(self) -> Mapping[str, str]:
        return dict(self._query)

    def _check_content(self, name: str, content: bytes, found: Reading) -> None:
        found.problems += ours.problems_of_object(name, content, cut=bool(self.line.get("request_cut")))

    def _check_answer(self, found: Reading) -> None:
        status = self.line["status"]
        body = body_of(self.line, "answer")
        if status in (304, 308) or (status == 499 and self.kind is Kind.UPLOAD):
            if body:
                found.problems.append(f"a body of an answer {status}")
            return
        if status >= 300:
            found.problems += [one.removeprefix("answer: ") for one in _of_error(self.line)]
            return
        query = dict(self._query)
        begins = self.kind is Kind.UPLOAD and self.line["method"] == "POST" and query.get("uploadType") == "resumable"
        media = self.kind is Kind.DOWNLOAD or query.get("alt") == "media"
        schema = self.method.of.get("response")
        if begins or media or schema is None:
            if body and not media:
                found.problems.append(f"a body, where {self.method.id} has none: {body[:80]!r}")
            return
        try:
            answers = (
                list(events_of(body)) if self.line["answer_type"].startswith("text/event-stream") else [json_of(body)]
            )
        except ValueError as error:
            found.problems.append(f"no JSON: {error}")
            return
        if self.method.id.endswith(".streamGenerateContent"):
            answers = answers[0] if isinstance(answers[0], list) else answers
        numbers = "enum-encoding=int" in query.get("$alt", "")
        values = Values(self.of.schemas, found, of_request=False, enum_numbers=numbers, loose=ours.LOOSE)
        for one in answers:
            values.check(one, schema, "body")
            if isinstance(one, dict):
                found.problems += ours.problems_of_answer(schema["$ref"], one, partial="fields" in query)
