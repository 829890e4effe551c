"""Ask a model: fill in the form (Trigger), and find tokens, cost and where the answer lies in the task's log and XCom.

The answer itself is there only with `capture_content: true` in genops.yaml; `genops ask --run RUN` shows it otherwise.

The tokens are counted before the first call. What may cost more than the budget, or than is left of the month's limits, is
refused with the sums, and nothing is asked. Answers to a file of prompts lie in the bucket, `genops/asks/<run>/answers.jsonl`,
beside `failures.jsonl` with the reason for each prompt that has no answer. In a shell: `genops ask`.
"""

from airflow.sdk import DAG, Param

from genops_events.airflow.generate_content import GenerateContent, choices

PROMPT = (
    "What to ask. Either this or a file of prompts. Airflow keeps what is typed here in the run's conf, for whoever may "
    "see the run: what they must not see belongs into a file, or into `genops ask` in a shell."
)
FILES = "What the prompt is about: images, audio, video, PDF or text, as a list of gs:// addresses."
FILE = (
    "Prompts as JSON Lines (docs/how-to/answer-prompts.md): gs://BUCKET/OBJECT, or an object of genops.yaml's bucket."
)
MODEL = "A published model. Either this or the champion of a dataset."
CHAMPION = "Ask the model that this dataset serves now, with the dataset's own settings and system instruction."
SYSTEM = "Sent with every prompt; empty for the dataset's, or for none where a model is asked."
SETTINGS = 'As under `inference` in genops.yaml, for instance {"temperature": 0.2, "max_output_tokens": 500}.'
BUDGET = "Most that this run may cost, in US dollars, thinking included; no more than `ask.budget_usd` of genops.yaml."
COUNT = "Count tokens and billable characters and say what it would cost at most; nothing is asked, and nothing paid."

KNOWN = choices()
NOBODY = {"null": "(nobody)"}
TEXT, LIST = ["null", "string"], ["null", "array"]

with DAG(
    "genops_generate_content",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    tags=["genops"],
    params={
        "prompt": Param(None, PROMPT, title="Prompt", format="multiline", type=TEXT),
        "files": Param(None, FILES, title="Attached files", items={"type": "string"}, type=LIST),
        "file": Param(None, FILE, title="File of prompts", type=TEXT),
        "model": Param(None, MODEL, title="Model", enum=[None, *KNOWN.models], type=TEXT, values_display=NOBODY),
        "champion_of": Param(
            None, CHAMPION, title="Champion of", enum=[None, *KNOWN.datasets], type=TEXT, values_display=NOBODY
        ),
        "system_instruction": Param(None, SYSTEM, title="System instruction", format="multiline", type=TEXT),
        "settings": Param({}, SETTINGS, title="Settings", type=["null", "object"]),
        "budget_usd": Param(KNOWN.budget_usd, BUDGET, title="Budget in USD", type=["null", "number"], minimum=0),
        "count_only": Param(False, COUNT, title="Only count", type="boolean"),
    },
):
    GenerateContent(task_id="ask")
