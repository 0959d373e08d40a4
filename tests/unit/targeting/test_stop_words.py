"""STOP words: recognised as people write them, and only by those who mean them."""

import pytest

from targeting.stop_words import OWN_LANGUAGE_ONLY, STOP_WORDS, is_stop


@pytest.mark.parametrize("language", sorted(STOP_WORDS))
def test_every_word_counts_for_everybody_as_it_is_listed(language: str) -> None:
    for word in STOP_WORDS[language]:
        assert is_stop(word.upper(), locale="sv_SE"), word


@pytest.mark.parametrize("language", sorted(OWN_LANGUAGE_ONLY))
def test_ambiguous_words_count_in_their_language_and_where_none_is_known(language: str) -> None:
    for word in OWN_LANGUAGE_ONLY[language]:
        assert is_stop(word, locale=f"{language}_XX"), word
        assert is_stop(word), word
        assert not is_stop(word, locale="sv_SE"), word


@pytest.mark.parametrize(
    "text", ["stop", "STOP", "  Stop! ", "opt   out", "*Stop*", "¡Baja!", "arre\u0302t", "arret", "退订。"]
)
def test_spelling_does_not_matter(text: str) -> None:
    assert is_stop(text, locale="en")


@pytest.mark.parametrize("text", [None, "", "!", "stop it please", "bus stop", "s top", "stop" * 100])
def test_anything_else_is_no_stop(text: str | None) -> None:
    assert not is_stop(text)


def test_a_team_adds_words_of_its_own() -> None:
    more = {"sv": ["Sluta skicka"]}
    assert is_stop("sluta  SKICKA.", more=more)
    assert not is_stop("sluta skicka")


@pytest.mark.parametrize("locale", ["pt-BR", "pt_BR", "PT", "pt"])
def test_a_locale_is_read_by_its_language(locale: str) -> None:
    assert is_stop("pare", locale=locale)
    assert not is_stop("basta", locale=locale)
