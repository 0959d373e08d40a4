"""One user: who they are, and below that what was chosen of their story, experiments, profile, consent and rights."""

from typing import Final

import streamlit

from dashboard import access, formats
from dashboard.access import Access
from dashboard.calls import users
from dashboard.calls.users import User
from dashboard.texts import say
from dashboard.views import acting, addressed, states, user_consent, user_profile, user_rights, user_story
from dashboard.views.user_words import consent_words, phone_words, zone_words

PAGE: Final = "views/users.py"
SECTIONS: Final = ("story", "experiments", "profile", "consent", "rights")


def show(user_id: str) -> None:
    current = access.required()
    streamlit.page_link(PAGE, label=say("users.all"), icon=":material/arrow_back:")
    user = states.fetched(f"user:{user_id}", lambda: users.find(current.client, user_id))
    if user is None:
        return
    streamlit.header(formats.plain(user.user_id), anchor=False)
    if user.is_erased:
        streamlit.info(say("users.is_erased"), icon=":material/person_off:")
    _show_facts(user)
    acting.show_outcome(f"user:{user_id}")
    # What the role may not do is not offered.
    offered = [
        name for name in SECTIONS if name != "rights" or (current.may_administer and not user.is_erased)
    ]
    chosen = addressed.segmented(
        say("users.show"),
        offered,
        name="show",
        shown=lambda name: say(f"users.section.{name}"),
        default="story",
        label_visibility="collapsed",
        also_forget="events",
    )
    _show_section(chosen or "story", user, current)


def _show_section(name: str, user: User, current: Access) -> None:
    if name == "experiments":
        user_story.show_standings(user, current.client)
    elif name == "profile":
        user_profile.show(user, current)
    elif name == "consent":
        user_consent.show(user, current)
    elif name == "rights":
        user_rights.show(user, current.client)
    else:
        user_story.show(user, current.client)


def _show_facts(user: User) -> None:
    facts = [
        (say("users.fact.phone"), phone_words(user)),
        (say("users.fact.zone"), zone_words(user)),
        (say("users.fact.locale"), user.locale or formats.UNKNOWN),
        (say("users.fact.known"), formats.moment(user.created_at)),
        (say("users.fact.seen"), formats.moment(user.last_seen_at)),
        (say("users.fact.consent"), consent_words(user)),
    ]
    for place, (name, words) in zip([*streamlit.columns(3), *streamlit.columns(3)], facts, strict=True):
        place.markdown(f":small[{name}]  \n{formats.plain(words)}")
