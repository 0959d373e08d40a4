"""What the simulator tells, our own reader understands."""

from datetime import UTC, datetime

from delivery.simulator.emission import News, Step, webhook
from delivery.whatsapp.webhooks import InboundMessage, PreferenceValue, StatusUpdate, UserPreference, parse
from experiments.vocabulary import MessageState

AT = 1_796_119_200


def _news(step: Step, code: int | None = None) -> News:
    return News(step, AT, "12025550123", "wamid.1", "m-17", "marketing", code)


def test_every_kind_of_news_arrives():
    news = [_news(Step.STOP_MENU), _news(Step.SENT), _news(Step.FAILED, 131026), _news(Step.STOP_TEXT)]
    body = webhook(news, phone_number_id="1", display_phone_number="447700900999")
    sent, failed, menu, text = parse(body)
    at = datetime.fromtimestamp(AT, UTC)
    assert isinstance(sent, StatusUpdate)
    assert (sent.wamid, sent.status, sent.at) == ("wamid.1", MessageState.SENT, at)
    assert (sent.recipient_id, sent.callback_data) == ("12025550123", "m-17")
    assert (sent.error_code, sent.error_title, sent.category, sent.billable) == (
        None,
        None,
        "marketing",
        True,
    )
    assert isinstance(failed, StatusUpdate)
    assert (failed.status, failed.error_code, failed.error_title) == (
        MessageState.FAILED,
        131026,
        "Message undeliverable",
    )
    assert menu == UserPreference("12025550123", None, PreferenceValue.STOP, at)
    assert isinstance(text, InboundMessage)
    assert (text.wa_id, text.text, text.context_id, text.at) == ("12025550123", "STOP", "wamid.1", at)


def test_many_statuses_share_one_body():
    body = webhook([_news(Step.READ)] * 50, phone_number_id="1", display_phone_number="447700900999")
    assert len(parse(body)) == 50
    assert body.count(b'"field"') == 1
