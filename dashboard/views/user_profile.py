"""What is known of one user, attribute by attribute, their tags, and how an editor changes both."""

from functools import partial

import streamlit

from dashboard import formats, user_fields
from dashboard.access import Access
from dashboard.calls import users
from dashboard.calls.users import User
from dashboard.client import Client
from dashboard.texts import say
from dashboard.user_fields import NotAValueError
from dashboard.views import acting


def show(user: User, current: Access) -> None:
    changes = current.may_write and not user.is_erased
    _show_tags(user, current.client, changes=changes)
    streamlit.subheader(say("users.attribute.title"), anchor=False)
    known = {name: value for name, value in sorted(user.attributes.items()) if name != users.TAGS}
    if known:
        rows = [
            {
                say("users.attribute.name"): formats.plain(name),
                say("users.attribute.value"): formats.plain(user_fields.shown(value)),
            }
            for name, value in known.items()
        ]
        streamlit.table(rows, border="horizontal", hide_index=True, alt=say("users.attribute.title"))
    else:
        streamlit.markdown(say("users.attribute.none"))
    if changes:
        _show_form(user, current.client)


def _show_tags(user: User, client: Client, *, changes: bool) -> None:
    streamlit.subheader(say("users.tags.title"), anchor=False)
    if not user.tags:
        streamlit.markdown(say("users.tags.none"))
    key = f"user:{user.user_id}"
    place = acting.of(key)
    with streamlit.container(horizontal=True):
        for tag in user.tags:
            if not changes:
                streamlit.badge(formats.plain(tag))
            elif streamlit.button(
                formats.plain(tag),
                icon=":material/close:",
                help=say("users.tags.remove_help"),
                key=place.key(f"untag:{tag}"),
            ):
                acting.attempt(
                    key,
                    partial(users.remove_tag, client, user.user_id, tag),
                    done=say("users.tags.removed", tag=tag),
                )
    if not changes:
        return
    with streamlit.form("tag", border=False):
        field, button = streamlit.columns([3, 1], vertical_alignment="bottom")
        tag = field.text_input(
            say("users.tags.add"), help=say("users.tags.add_help"), max_chars=100, key=place.fresh("tag")
        ).strip()
        asked = button.form_submit_button(say("users.tags.put"), key=place.key("tag_put"))
    if asked and tag:
        acting.attempt(
            key, lambda: users.add_tags(client, user.user_id, [tag]), done=say("users.tags.added", tag=tag)
        )


def _show_form(user: User, client: Client) -> None:
    """Without a form around it, so that the field for the value follows the kind."""
    place = acting.of(f"user:{user.user_id}")
    with streamlit.expander(say("users.attribute.set")):
        name = streamlit.text_input(
            say("users.attribute.name"), help=say("users.attribute.name_help"), max_chars=200, key="attribute"
        ).strip()
        kind = streamlit.selectbox(
            say("users.attribute.kind"),
            user_fields.KINDS,
            format_func=lambda each: say(f"users.attribute.kinds.{each}"),
            help=say("users.attribute.kind_help"),
            key="attribute_kind",
        )
        written = _ask_for_value(str(kind))
        if not streamlit.button(say("users.attribute.save"), type="primary", key=place.key("attribute_save")):
            return
        if not name or name == users.TAGS:
            key = "users.attribute.use_tags" if name else "users.attribute.no_name"
            streamlit.error(say(key), icon=":material/error:")
            return
        try:
            value = user_fields.attribute_value(str(kind), written)
        except NotAValueError as error:
            streamlit.error(say(str(error)), icon=":material/error:")
            return
    done = "users.attribute.removed" if value is None else "users.attribute.saved"
    acting.attempt(
        f"user:{user.user_id}",
        lambda: users.set_attributes(client, user.user_id, {name: value}),
        done=say(done, name=name, value=user_fields.shown(value)),
    )


def _ask_for_value(kind: str) -> str:
    label = say("users.attribute.value")
    if kind == "none":
        streamlit.caption(say("users.attribute.takes_away"))
        return ""
    if kind == "boolean":
        return str(
            streamlit.selectbox(
                label,
                (user_fields.YES, user_fields.NO),
                format_func=lambda each: say(f"users.attribute.{each}"),
                help=say("users.attribute.value_help.boolean"),
                key="attribute_truth",
            )
        )
    return streamlit.text_input(label, help=say(f"users.attribute.value_help.{kind}"), key="attribute_value")
