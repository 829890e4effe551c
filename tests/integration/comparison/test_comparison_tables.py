"""The scores of a comparison in BigQuery: beside those of evaluations, and never doubled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from cloud import StandIns
from comparisons import asked, one, whole
from evaluations import FILE, pairs, promoted, write
from tables_cloud import contents

from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.tables.bigquery import load_tables
from genops_events.tables.parts import write_parts
from genops_events.tables.query import query
from genops_events.tables.schema import EVALUATIONS, SPEND

LITE = "gemini-2.5-flash-lite"


def of(config: Config, name: str, *columns: str) -> Counter[tuple[object, ...]]:
    table = EVALUATIONS if name == "evaluations" else SPEND
    places = [table.names.index(column) for column in columns]
    return Counter(tuple(row[place] for place in places) for row in contents(config)[name])


def test_a_promotions_comparison_stands_beside_its_evaluation_and_one_that_ends_again_replaces_itself(
    cloud: StandIns, wanted: Config, compared: Callable[..., Config], store: RecordStore, endpoint: str
) -> None:
    configured = compared(contestants=["champion", LITE])
    write(store, FILE, *pairs(3))
    candidate = promoted(configured, store, endpoint)
    cloud.vertex.faults(blocked_text="the right word", error_methods=["generateContent"])
    run = asked(promoted=candidate)
    assert one(whole(run), LITE).status == "failed"
    write_parts(configured, store)
    load_tables(configured, store)
    cloud.vertex.faults()
    expected = {(candidate, "evaluation"): 3, ("champion", "comparison"): 3, (LITE, "comparison"): 3}
    assert of(configured, "evaluations", "contestant", "source") == expected
    again = whole(run)
    assert again.number == 2, "somebody tried again"
    load_tables(configured, store)
    assert of(configured, "evaluations", "contestant", "source") == expected
    spent = of(configured, "spend", "candidate", "purpose")
    assert spent[f"{candidate}/champion", "comparison"] == spent[f"{candidate}/{LITE}", "comparison"] == 1
    told = "SELECT count(*) FROM genops.completions WHERE type = 'genops.comparison.completed.v1'"
    assert query(store, told, cache=None).rows == [(2,)]
