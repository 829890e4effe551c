"""Import the metrics in Python that genops.yaml names by their path, before anything is spent."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from genops_events.catalogue.metrics import Metric
from genops_events.errors import PermanentError
from genops_events.evaluation.pipeline import PythonMetric


class MetricMissing(PermanentError):
    """The import path of a metric does not lead to a function."""


def functions_of(metrics: Sequence[Metric]) -> dict[str, PythonMetric]:
    """Return the function of each metric in Python, by the metric's name.

    Raises:
        MetricMissing: a module cannot be imported, or has no such function.
    """
    return {metric.name: _function(metric) for metric in metrics if metric.kind == "python"}


def _function(metric: Metric) -> PythonMetric:
    module, _, name = metric.path.partition(":")
    about = f"The metric {metric.name} of genops.yaml cannot be used: "
    hint = "Install the package on Airflow's workers, or put the module on their PYTHONPATH; then upload the training file again."
    try:
        function = getattr(importlib.import_module(module), name, None)
    except Exception as error:
        raise MetricMissing(f"{about}{module} cannot be imported ({type(error).__name__}: {error}).", hint) from error
    if not callable(function):
        raise MetricMissing(f"{about}{module} has no function {name}.", hint)
    found: PythonMetric = function
    return found
