"""Every code of the table has one class; what is not listed has a documented one."""

import pytest

from delivery.whatsapp.error_table import CODES, ErrorClass, classify


def test_no_code_is_listed_twice():
    listed = [code for codes in CODES.values() for code in codes]
    assert len(listed) == len(set(listed))
    assert set(CODES) == set(ErrorClass)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (130429, ErrorClass.SLOW_DOWN),
        (131056, ErrorClass.RECIPIENT_LATER),
        (131049, ErrorClass.RECIPIENT_LATER),
        (131000, ErrorClass.RETRY),
        (1, ErrorClass.UNKNOWN),
        (131050, ErrorClass.NEVER_FOR_PERSON),
        (132000, ErrorClass.BAD_REQUEST),
        (132015, ErrorClass.TEMPLATE_FUSE),
        (0, ErrorClass.NUMBER_FUSE),
        (190, ErrorClass.NUMBER_FUSE),
        (200, ErrorClass.NUMBER_FUSE),
        (299, ErrorClass.NUMBER_FUSE),
        (300, ErrorClass.BAD_REQUEST),
    ],
)
def test_the_code_decides_whatever_the_http_status(code, expected):
    assert classify(code) == expected
    if code != 300:
        assert classify(code, http_status=500) == classify(code, http_status=400) == expected


@pytest.mark.parametrize(
    ("code", "http_status", "expected"),
    [
        (None, None, ErrorClass.UNKNOWN),
        (None, 500, ErrorClass.UNKNOWN),
        (None, 504, ErrorClass.UNKNOWN),
        (999999, 500, ErrorClass.UNKNOWN),
        (None, 408, ErrorClass.UNKNOWN),
        (999999, 400, ErrorClass.BAD_REQUEST),
        (None, 404, ErrorClass.BAD_REQUEST),
        (None, 302, ErrorClass.BAD_REQUEST),
        (None, 429, ErrorClass.SLOW_DOWN),
        (None, 401, ErrorClass.NUMBER_FUSE),
    ],
)
def test_what_the_table_does_not_list(code, http_status, expected):
    assert classify(code, http_status=http_status) == expected
