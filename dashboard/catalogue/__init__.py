"""The interface texts, one TOML file a page; `dashboard/texts.py` reads them. Start reading: `common.toml`."""
