"""Pydantic Evals: results of offline runs are spans, results of online evaluators log records.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318): Logfire sends
there too, and nowhere else with send_to_logfire=False.
"""

import logfire

logfire.configure(send_to_logfire=False, console=False)
logfire.instrument_pydantic_ai()

# --- snippet ends here ---
# scenarios: eval_offline eval_online

import asyncio  # noqa: E402
import sys  # noqa: E402
from dataclasses import dataclass  # noqa: E402

from pydantic_ai import Agent  # noqa: E402
from pydantic_ai.models.openai import OpenAIChatModel  # noqa: E402
from pydantic_evals import Case, Dataset  # noqa: E402
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext  # noqa: E402
from pydantic_evals.online import evaluate, wait_for_evaluations  # noqa: E402

QUESTION = "What is the capital of France?"


@dataclass
class NamesTheCity(Evaluator):
    city: str = "Paris"

    def get_evaluator_version(self) -> str:
        return "3"

    def evaluate(self, ctx: EvaluatorContext) -> EvaluationReason:
        return EvaluationReason(
            value=self.city in ctx.output, reason=f"The answer should name {self.city}."
        )


@dataclass
class Brevity(Evaluator):
    def evaluate(self, ctx: EvaluatorContext) -> float:
        return 1 / len(ctx.output.split())


@dataclass
class Tone(Evaluator):
    def evaluate(self, _: EvaluatorContext) -> dict[str, str]:
        return {"tone": "neutral"}


@dataclass
class Broken(Evaluator):
    def evaluate(self, _: EvaluatorContext) -> bool:
        raise ValueError("no judge")


EVALUATORS = (NamesTheCity(), Brevity(), Tone(), Broken())


async def answer(question: str) -> str:
    agent = Agent(OpenAIChatModel("gpt-4o-mini"), name="geography_teacher")
    return (await agent.run(question, conversation_id="conversation-1")).output


def eval_offline() -> None:
    dataset = Dataset(
        name="capitals",
        cases=[
            Case(
                name="france", inputs=QUESTION, expected_output="Paris", metadata={"level": "easy"}
            ),
            Case(name="wrong", inputs=QUESTION, evaluators=(NamesTheCity(city="Rome"),)),
        ],
        evaluators=list(EVALUATORS),
    )
    dataset.evaluate_sync(
        answer, name="prompt-b", progress=False, max_concurrency=1, metadata={"prompt": "b"}
    )


def eval_online() -> None:
    judged = evaluate(*EVALUATORS, target="answer", span_name="answer")(answer)

    async def run() -> None:
        await judged(QUESTION)
        await wait_for_evaluations()

    asyncio.run(run())


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    logfire.shutdown()
