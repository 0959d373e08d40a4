"""In which language a user is written to."""

import pytest

from delivery.content.languages import choose

OFFERED = ("pt_PT", "pt_BR", "nl", "es_MX", "es_ES", "es", "zh_CN", "zh_HK", "he", "fil", "id", "nb")


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("pt-BR", "pt_BR"),
        ("pt_br", "pt_BR"),
        ("PT-br", "pt_BR"),
        ("pt", "pt_PT"),  # no plain pt: the first that is stated
        ("pt-AO", "pt_PT"),
        ("nl_NL", "nl"),
        ("nl-BE", "nl"),
        ("es-AR", "es"),  # the language itself before another region's
        ("es-MX", "es_MX"),
        ("es-419", "es"),
        ("en-GB", "en_US"),  # the message's own language counts as offered
        ("en", "en_US"),
        ("de-DE", "en_US"),
        (None, "en_US"),
        ("", "en_US"),
        ("not a locale!", "en_US"),
        ("zh-TW", "zh_HK"),  # the same script before the other
        ("zh-Hant-TW", "zh_HK"),
        ("zh-Hant", "zh_HK"),
        ("zh", "zh_CN"),
        ("zh-Hans-SG", "zh_CN"),
        ("zh-CN", "zh_CN"),
        ("iw-IL", "he"),
        ("tl-PH", "fil"),
        ("in", "id"),
        ("no-NO", "nb"),
        ("nn", "nb"),
        ("sr-Latn-RS", "en_US"),
        ("pt-BR-u-ca-gregory", "pt_BR"),
        ("pt_BR.UTF-8", "pt_BR"),
        ("pt_BR@euro", "pt_BR"),
    ],
)
def test_the_language_that_fits_best(locale: str | None, language: str) -> None:
    assert choose("en_US", OFFERED, locale=locale) == language


def test_only_what_is_offered_and_the_message_s_own_language_first_among_equals() -> None:
    assert choose("pt_BR", ["pt_PT"], locale="pt") == "pt_BR"
    assert choose("pt_BR", [], locale="nl") == "pt_BR"
    assert choose("en_US", ["zh_TW"], locale="zh-CN") == "zh_TW"
