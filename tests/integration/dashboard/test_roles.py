"""Who may see and do what: the navigation follows the role, and the API has the last word."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.integration.dashboard.browsing import seen, widget


@pytest.mark.parametrize(("scope", "role"), [("read", "reader"), ("write", "editor"), ("admin", "admin")])
def test_the_role_stands_beside_every_page(
    open_dashboard: Callable[[str], AppTest], scope: str, role: str
) -> None:
    assert f"{scope} key ({role})" in seen(open_dashboard(scope))


def test_every_text_of_the_interface_follows_the_language(open_dashboard: Callable[[str], AppTest]) -> None:
    app = open_dashboard("read")
    widget(app, "selectbox", "Language").set_value("zh").run()
    assert "退出登录" in [button.label for button in app.button]
