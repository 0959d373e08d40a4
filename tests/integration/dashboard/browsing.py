"""What a person does with the dashboard, and what they can read on it."""

from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from dashboard.formats import NBSP

APP = Path(__file__).resolve().parents[3] / "dashboard" / "app.py"


def sign_in(app: AppTest, key: str) -> AppTest:
    app.text_input[0].set_value(key)
    return press(app, "Sign in")


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def open_page(app: AppTest, name: str, **query: str) -> AppTest:
    """The page whose file in `views/` is `name`, with its filters as they stand in an address."""
    for key, value in query.items():
        app.query_params[key] = value
    return app.switch_page(f"views/{name}.py").run()


def widget(app: AppTest, kind: str, label: str) -> Any:
    """The only widget of a kind (`selectbox`, `text_input` ..) that is labelled so."""
    found = [item for item in getattr(app, kind) if item.label == label]
    assert len(found) == 1, [item.label for item in getattr(app, kind)]
    return found[0]


def seen(app: AppTest) -> str:
    """Everything that a person can read on the page, without the marks of Markdown's escapes and what nobody sees."""
    assert not app.exception, [item.value for item in app.exception]
    texts = [
        *(
            item.value
            for kind in ("title", "header", "subheader", "markdown", "caption")
            for item in app.get(kind)
        ),
        *(item.value for kind in ("info", "success", "warning", "error") for item in getattr(app, kind)),
    ]
    for table in app.table:
        frame = table.value
        texts += [str(name) for name in frame.columns]
        texts += [str(value) for value in frame.to_numpy().ravel()]
    texts += [link.proto.label for link in app.get("page_link")]
    return "\n".join(texts).replace("\\", "").replace("\u200b", "").replace(NBSP, " ")
