"""Ask a model from the shell, a form, or a Dag of one's own, within a budget; `generate` asks one prompt."""

from genops_events.asking.one_prompt import Generated, NotAnswered, generate

__all__ = ["Generated", "NotAnswered", "generate"]
