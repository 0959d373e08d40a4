"""The viewer's choices: the language stays through links and is in the address, the zone stays when the key is refused."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from tests.integration.dashboard.browsing import open_page, seen, widget
from tests.integration.dashboard.conftest import Live

Opened = Callable[[str], AppTest]


def test_a_language_of_the_address_stays_when_a_link_leaves_it_out(open_dashboard: Opened) -> None:
    app = open_page(open_dashboard("read"), "users", language="zh")
    assert "用户" in seen(app)
    assert widget(app, "selectbox", "语言").value == "zh"
    app.query_params.clear()  # as a link within the page does, or one to another
    app.run()
    assert app.query_params["language"] == "zh"
    assert "用户" in seen(open_page(app, "segments"))
    assert app.query_params["language"] == "zh"

    widget(app, "selectbox", "语言").set_value("en").run()
    assert app.query_params["language"] == "en"
    assert widget(app, "selectbox", "Language").value == "en"
    app.query_params["language"] = "zh"  # a link that was sent by somebody else
    app.run()
    assert widget(app, "selectbox", "语言").value == "zh"


def test_without_a_choice_the_address_says_nothing_and_nonsense_is_taken_out(open_dashboard: Opened) -> None:
    app = open_dashboard("read")
    assert "language" not in app.query_params
    open_page(app, "users", language="tlh")
    assert "language" not in app.query_params
    assert widget(app, "selectbox", "Language").value == "en"


def test_language_and_zone_survive_a_key_that_is_refused(live: Live, open_dashboard: Opened) -> None:
    app = open_dashboard("admin")
    widget(app, "selectbox", "Times in").set_value("Asia/Tokyo").run()
    widget(app, "selectbox", "Language").set_value("zh").run()
    kept = app.session_state["access"].client
    kept._http.headers["Authorization"] = "Bearer gone"  # the key is revoked meanwhile
    open_page(app, "users")
    assert [field.label for field in app.text_input] == ["API 密钥"]
    sign_in_again(app, live.keys["read"])
    assert widget(app, "selectbox", "时区").value == "Asia/Tokyo"
    # Streamlit would say that a widget got its value twice.
    assert not [item.value for item in app.warning]


def test_a_zone_that_nobody_knows_is_utc_wherever_it_is_named(live: Live, open_dashboard: Opened) -> None:
    app = open_dashboard("write")
    app.session_state["zone"] = "Etc/Unknown"  # what a browser without a zone says
    open_page(app, "rules", new="1")
    widget(app, "checkbox", "Begins at a certain time").check().run()
    assert [field.label for field in app.datetime_input] == ["From (UTC)"]


def sign_in_again(app: AppTest, key: str) -> None:
    app.text_input[0].set_value(key)
    next(button for button in app.button if button.label == "登录").click().run()
    assert seen(app)
