"""The examples on the page about templates fit each other: template, message, content sources, preview."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from api.template_schemas import TemplatePreviewRequest
from delivery.content.ingredients import Fetched, LatestEvent
from delivery.content.rendering import compose
from delivery.outbox.dispatch_repository import Recipient
from delivery.simulator.components import fill, read_shape
from delivery.templates.template_checks import Findings, Known, check_message
from experiments.settings import Settings
from experiments.treatments import MessageContent
from experiments.vocabulary import Category

PAGE = (Path(__file__).parents[2] / "docs/templates.md").read_text(encoding="utf-8")
COMPONENTS, CONTENT, PREVIEW = (
    json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
)
(MESSAGE,) = (
    MessageContent.model_validate(yaml.safe_load(block))
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
)
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def known(language: str) -> Known:
    return Known("spring_picks", language, "marketing", "APPROVED", "GREEN", "POSITIONAL", COMPONENTS)


def written(locale: str) -> Any:
    settings = Settings(content=json.dumps({"picks": CONTENT["picks"]}))
    return compose(
        MESSAGE,
        callback="1",
        person=Recipient("u", "+12025550100", None, {"first_name": "Ann"}, locale),
        experiment="spring",
        variant="picks",
        now=NOW,
        window_open=False,
        settings=settings,
        events={"Product Viewed": LatestEvent(NOW, {"product": "stove"})},
        fetched=Fetched({"picks": settings.content["picks"].fallback}),
    )


def test_the_message_fits_the_template() -> None:
    found = check_message(
        MESSAGE,
        [known("en_US"), known("pt_BR")],
        category=Category.MARKETING,
        field="message",
        starting=True,
        clicks_at="https://touchstone.example/r/",
    )
    assert found == Findings()


def test_whatsapp_would_take_it_in_the_language_that_the_page_says() -> None:
    assert [written(locale).language for locale in ("pt-PT", "pt", "nl-NL")] == ["pt_BR", "pt_BR", "en_US"]
    message = written("en-US")
    assert list(message.body_parameters) == PREVIEW["message"]["parameters"]
    components = message.to_payload()["template"]["components"]
    button = {
        "type": "button",
        "sub_type": "url",
        "index": "1",
        "parameters": [{"type": "text", "text": "t"}],
    }
    fill([*components, button], read_shape(COMPONENTS, "components"))


def test_the_content_sources_are_settings() -> None:
    settings = Settings(sources='{"crm": "sqlite:///crm.db"}', content=json.dumps(CONTENT))
    assert settings.content.keys() == {"picks", "last_ticket"}


def test_the_preview_is_a_request() -> None:
    assert TemplatePreviewRequest.model_validate(PREVIEW).sample == 3
