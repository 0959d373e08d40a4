"""What the pages ask of the API: one file an area, one function a request, a client in and documents out.

May import: `dashboard.client`, `documents`, `reading`. Start reading: the file named like your page.
"""
