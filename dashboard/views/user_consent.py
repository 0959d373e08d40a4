"""What one user agreed to, how we know, and what an editor records about it."""

from functools import partial

import streamlit

from dashboard import formats
from dashboard.access import Access
from dashboard.calls import users
from dashboard.calls.users import ConsentWord, User
from dashboard.client import Client
from dashboard.texts import say, told
from dashboard.views import acting, asking, states


def show(user: User, current: Access) -> None:
    streamlit.caption(say("users.consent.words"))
    if current.may_write and not user.is_erased:
        _show_withdrawals(user, current.client)
        _show_form(user, current.client)
    _show_ledger(user, current)


def _show_withdrawals(user: User, client: Client) -> None:
    for category in users.CATEGORIES:
        if not user.agreed_to(category):
            continue
        name = told("common.category", category)
        question = f"withdraw:{user.user_id}:{category}"
        if streamlit.button(
            say("users.consent.withdraw", category=name), icon=":material/block:", key=f"{question}:ask"
        ):
            asking.ask(question)
        words = say("users.consent.withdraw_question", user=formats.plain(user.user_id), category=name)
        if asking.confirmed(
            question,
            words,
            yes=say("users.consent.withdraw_yes"),
            act=partial(
                users.say_consent, client, user.user_id, category=category, granted=False, source="dashboard"
            ),
            done=partial(_withdrawn, user.user_id, category),
            area="users",
        ):
            streamlit.rerun()


def _withdrawn(user_id: str, category: str, _answer: object) -> str:
    return say(
        "users.consent.withdrawn", user=formats.plain(user_id), category=told("common.category", category)
    )


def _show_form(user: User, client: Client) -> None:
    """A grant with its proof. What the API refuses stays in the form, to be mended."""
    place = acting.of(f"user:{user.user_id}")
    with streamlit.expander(say("users.consent.record")), streamlit.form("consent", border=False):
        category = streamlit.selectbox(
            say("users.consent.category"),
            users.CATEGORIES,
            format_func=lambda name: told("common.category", name),
            help=say("users.consent.category_help"),
            key=place.fresh("consent_category"),
        )
        source = streamlit.text_input(
            say("users.consent.source"),
            help=say("users.consent.source_help"),
            max_chars=100,
            key=place.fresh("consent_source"),
        )
        evidence = streamlit.text_area(
            say("users.consent.evidence"),
            help=say("users.consent.evidence_help"),
            max_chars=1000,
            key=place.fresh("consent_evidence"),
        )
        if not streamlit.form_submit_button(
            say("users.consent.save"), type="primary", key=place.key("consent_save")
        ):
            return
        if not source.strip() or not evidence.strip():
            streamlit.error(say("users.consent.proof_missing"), icon=":material/error:")
            return
    acting.attempt(
        f"user:{user.user_id}",
        lambda: users.say_consent(
            client,
            user.user_id,
            category=str(category),
            granted=True,
            source=source.strip(),
            evidence=evidence.strip(),
        ),
        done=say("users.consent.saved", user=user.user_id, category=told("common.category", str(category))),
    )


def _show_ledger(user: User, current: Access) -> None:
    streamlit.subheader(say("users.consent.history"), anchor=False)
    cursor = streamlit.query_params.get("consents", "")
    found = states.fetched(
        f"consents:{user.user_id}:{cursor}",
        lambda: users.consents(current.client, user.user_id, cursor=cursor),
        is_part=True,
    )
    if found is None:
        return
    words, following = found
    if not words:
        streamlit.markdown(say("users.consent.never"))
        return
    rows = [_row(word, with_proof=current.may_write) for word in words]
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("users.consent.history"))
    if following:
        streamlit.page_link(
            "views/users.py",
            label=say("users.story.earlier"),
            icon=":material/arrow_forward:",
            query_params={"user": user.user_id, "show": "consent", "consents": following},
        )


def _row(word: ConsentWord, *, with_proof: bool) -> dict[str, str]:
    said = "users.story.granted" if word.granted else "users.story.withdrawn"
    row = {
        say("users.story.when"): formats.moment(word.at),
        say("users.consent.what"): say(said, category=told("common.category", word.category)),
        say("users.consent.source"): word.source,
    }
    if with_proof:
        row[say("users.consent.evidence")] = word.evidence or formats.UNKNOWN
    return {name: formats.plain(value) for name, value in row.items()}
