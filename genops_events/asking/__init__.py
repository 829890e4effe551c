"""Ask a model by hand or from a Dag of your own, within a budget; `generate` asks one prompt."""

from genops_events.asking.one_prompt import Generated, NotAnswered, generate

__all__ = ["Generated", "NotAnswered", "generate"]
