"""Names, places and whatever else Microsoft Presidio recognises: an extra, and a slow one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from retraind.config import settings
from retraind.errors import ConfigError
from retraind.redact.patterns import Found


class PresidioDetector:
    """Asks Presidio about every text. Raises ConfigError when it or its model is not installed."""

    hint = None

    def __init__(self, config: settings.Presidio) -> None:
        self._config = config
        self._analyzer = _analyzer(config)

    def find(self, text: str) -> Iterator[Found]:
        entities = list(self._config.entities) or None
        for found in self._analyzer.analyze(
            text=text, language=self._config.language, entities=entities,
            score_threshold=self._config.score,
        ):  # fmt: skip
            yield found.start, found.end, found.entity_type.lower()


def _analyzer(config: settings.Presidio) -> Any:
    try:
        import spacy  # noqa: PLC0415
        from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415
        from presidio_analyzer.nlp_engine import NlpEngineProvider  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "content.presidio needs an extra; run `pip install 'retraind[presidio]'`"
        ) from error
    if not spacy.util.is_package(config.model):  # Presidio would download it at start
        raise ConfigError(
            f"content.presidio: the model {config.model} is not installed; "
            f"run `python -m spacy download {config.model}`"
        )
    engine = NlpEngineProvider(
        nlp_configuration={
            "nlp_engine_name": "spacy",
            "models": [{"lang_code": config.language, "model_name": config.model}],
        }
    ).create_engine()
    return AnalyzerEngine(nlp_engine=engine, supported_languages=[config.language])
