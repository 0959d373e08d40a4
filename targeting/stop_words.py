"""STOP words, by language: a message that is nothing but one of these withdraws consent to marketing. Pure.

Most words count whoever writes them, because a missed "stop" is worse than a mistaken one. A few are everyday words of
other languages or mean something else to other people (`alto` is "stop" in Spanish and "high" in Italian): these
count only for users of their own language, and for users whose language is not known.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

_EDGES: Final = " .!?。！？,;…\"'“”«»¡¿*_~"
_LONGEST: Final = 100

STOP_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "en": frozenset(
        {"stop", "stop all", "stopall", "unsubscribe", "opt out", "optout", "opt-out", "stop promotions"}
        | {"stop messages", "unsubscribe me", "remove me"}
    ),
    "es": frozenset({"baja", "parar", "detener", "cancelar suscripción", "darse de baja", "darme de baja"}),
    "pt": frozenset({"sair", "descadastrar", "cancelar inscrição", "parar mensagens"}),
    "nl": frozenset({"stoppen", "afmelden", "uitschrijven"}),
    "de": frozenset({"stopp", "abmelden", "abbestellen", "austragen"}),
    "fr": frozenset({"arrêt", "arrêter", "désabonner", "se désabonner", "désinscrire", "désabonnement"}),
    "it": frozenset({"disiscrivi", "disiscrivimi", "annulla iscrizione", "cancellami"}),
    "pl": frozenset({"rezygnuję", "wypisz", "wypisz mnie", "zatrzymaj"}),
    "tr": frozenset({"dur", "iptal", "durdur", "aboneliği iptal et"}),
    "id": frozenset({"berhenti", "berhenti berlangganan"}),
    "ru": frozenset({"стоп", "отписаться", "отписка", "отпишите меня"}),
    "he": frozenset({"הסר", "הסרה", "להסרה", "עצור"}),
    "ar": frozenset({"توقف", "إيقاف", "ايقاف", "إلغاء الاشتراك", "الغاء الاشتراك"}),
    "hi": frozenset({"रोकें", "बंद करें", "सदस्यता समाप्त करें"}),
    "ja": frozenset({"停止", "配信停止", "解除", "登録解除"}),
    "ko": frozenset({"중지", "수신거부", "수신 거부", "구독취소"}),
    "zh": frozenset({"停止", "退订", "退訂", "取消订阅", "取消訂閱"}),
}
"""These count whoever writes them."""

OWN_LANGUAGE_ONLY: Final[Mapping[str, frozenset[str]]] = {
    "en": frozenset({"cancel", "end", "quit", "remove", "no more"}),
    "es": frozenset({"alto", "cancelar", "fin"}),
    "pt": frozenset({"pare", "cancelar", "fim"}),
    "fr": frozenset({"fin", "annuler"}),
    "it": frozenset({"ferma", "basta", "fine"}),
    "zh": frozenset({"取消"}),
}
"""These count only for users of their language, and where a user's language is not known."""


def is_stop(
    text: str | None, *, locale: str | None = None, more: Mapping[str, Sequence[str]] | None = None
) -> bool:
    """Whether a text is exactly a STOP word for somebody with this `locale` (such as `pt_BR`), whatever its case,
    spacing, accents written in pieces, and closing punctuation. `more` are the words of the settings, by language.

    >>> is_stop(" Stop! "), is_stop("please do not stop")
    (True, False)
    >>> is_stop("alto", locale="es_MX"), is_stop("alto", locale="it_IT"), is_stop("alto")
    (True, False, True)
    """
    if text is None or len(text) > _LONGEST:
        return False
    said = plain(text)
    if any(said in words for words in _EVERYWHERE.values()):
        return True
    if more and any(said == plain(word) for words in more.values() for word in words):
        return True
    language = (locale or "").replace("-", "_").partition("_")[0].lower()
    own = [_OWN.get(language, frozenset())] if language else list(_OWN.values())
    return any(said in words for words in own)


def plain(text: str) -> str:
    """A text without what does not matter: case, spacing, punctuation at its ends, accents.

    Accents go because keyboards make them hard; the words of each list stay apart without them.
    """
    folded = unicodedata.normalize("NFKD", text).casefold().strip(_EDGES)
    bare = "".join(
        mark for mark in folded if unicodedata.category(mark) != "Mn" or not _is_latin_accent(mark)
    )
    return unicodedata.normalize("NFC", " ".join(bare.split()))


def _is_latin_accent(mark: str) -> bool:
    # Marks of other scripts (the vowels of Hindi) are letters to their readers.
    return "\u0300" <= mark <= "\u036f"


_EVERYWHERE: Final = {
    language: frozenset(plain(word) for word in words) for language, words in STOP_WORDS.items()
}
_OWN: Final = {
    language: frozenset(plain(word) for word in words) for language, words in OWN_LANGUAGE_ONLY.items()
}
