"""How each stage ends, gathered for the operators and the sweep, which treat all stages alike."""

from __future__ import annotations

from collections.abc import Mapping

from genops_events.cascade.stage_end import StageEnd
from genops_events.evaluation.end import EVALUATION_END
from genops_events.inference.end import INFERENCE_END
from genops_events.promotion.end import PROMOTION_END
from genops_events.record.stages import Stage
from genops_events.tuning.end import TUNING_END

STAGE_ENDS: Mapping[Stage, StageEnd] = {
    Stage.TUNING: TUNING_END,
    Stage.EVALUATION: EVALUATION_END,
    Stage.BUDGET: StageEnd(),
    Stage.PROMOTION: PROMOTION_END,
    Stage.INFERENCE: INFERENCE_END,
}
