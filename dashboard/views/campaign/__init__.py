"""The steps of the page New campaign, one file a step, over `dashboard.campaign`. Start reading: `work.py`, then `widgets.py`."""
