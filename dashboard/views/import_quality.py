"""Import: a file of people brought in, and what came of one import. The address says which."""

from typing import Final

import streamlit

from dashboard import access
from dashboard.texts import say
from dashboard.views import import_report, import_upload

MAX_DIGITS: Final = 18


def show() -> None:
    current = access.required()
    chosen = streamlit.query_params.get("import", "")
    if chosen.isascii() and chosen.isdigit() and len(chosen) <= MAX_DIGITS:
        import_report.show(current.client, int(chosen))
        return
    streamlit.header(say("app.page.import_quality"), anchor=False)
    if chosen:
        streamlit.warning(say("import_quality.no_such"), icon=":material/search_off:")
    if not current.may_write:
        streamlit.info(say("import_quality.choose"), icon=":material/fact_check:")
        streamlit.page_link("views/data_quality.py", label=say("import_quality.all"))
        return
    import_upload.show(current.client)


if __name__ == "__main__":
    show()
