"""How each stage ends, gathered for the operators and the sweep, which treat all stages alike."""

from __future__ import annotations

from collections.abc import Mapping

from genops_events.airflow.evaluation_end import EVALUATION_END
from genops_events.airflow.inference_end import INFERENCE_END
from genops_events.airflow.promotion_end import PROMOTION_END
from genops_events.airflow.stage_end import StageEnd
from genops_events.airflow.tuning_end import TUNING_END
from genops_events.stages import Stage

STAGE_ENDS: Mapping[Stage, StageEnd] = {
    Stage.TUNING: TUNING_END,
    Stage.EVALUATION: EVALUATION_END,
    Stage.BUDGET: StageEnd(),
    Stage.PROMOTION: PROMOTION_END,
    Stage.INFERENCE: INFERENCE_END,
}
