"""What a filter or a person is permitted, and which topics that opens."""

from __future__ import annotations

from typing import Any

import pytest

from boom_streams.access.permissions import check_permissions, everything_that, may_read_filter, permitted
from boom_streams.errors import FilterError


def test_permissions_are_put_in_order() -> None:
    assert check_permissions("ZTF", {"ztf": [3, 1, 1]}) == {"ZTF": (1, 3)}
    assert check_permissions("LSST", None) == {}
    assert check_permissions("LSST", {"ZTF": [1], "DECAM": [17]}) == {"ZTF": (1,), "DECAM": (17,)}


@pytest.mark.parametrize(
    ("permissions", "message"),
    [
        ([1], 'must look like {"ZTF": [1]}'),
        ({"ZTF": 1}, "must be a list of programids"),
        ({"ZTF": "1"}, "must be a list of programids"),
        ({"ZTF": [True]}, "True is no programid"),
        ({"ZTF": ["1"]}, "'1' is no programid"),
        ({"ZTF": [1.0]}, "1.0 is no programid"),
        ({"ZTF": [4]}, "4 is no programid"),
        ({"ZTF": [1], "DECAM": ["x"]}, "permissions of DECAM: 'x' is no programid; they are integers"),
        ({"ZTF": [1], "SDSS": [1]}, "survey 'SDSS' is unknown"),
        ({1: [1]}, "survey 1 is unknown"),
    ],
)
def test_permissions_that_are_wrong(permissions: Any, message: str) -> None:
    with pytest.raises(FilterError) as error:
        check_permissions("ZTF", permissions)
    assert message in str(error.value)


def test_programmes_that_are_permitted() -> None:
    assert permitted({"ZTF": (1, 3)}, "ZTF") == {1, 3}
    assert permitted({"ZTF": (1, 99)}, "ZTF") == {1}
    assert permitted({"LSST": (1,)}, "ZTF") == frozenset()
    assert everything_that([{"ZTF": (1,)}, {"ZTF": (1, 2)}, {}], "ZTF") == {1, 2}


@pytest.mark.parametrize(
    ("reader", "permissions", "may"),
    [
        ({"ZTF": [1]}, {"ZTF": [1]}, True),
        ({"ZTF": [1, 2]}, {"ZTF": [1]}, True),
        ({"ZTF": [1]}, {"ZTF": [1, 2]}, False),
        ({"ZTF": [1, 2]}, {"ZTF": [3]}, False),
        ({}, {"ZTF": [1]}, False),
        ({"ZTF": [1]}, {"ZTF": [1], "WINTER": [3]}, False),
    ],
)
def test_who_may_read_a_filters_topic(reader: Any, permissions: Any, may: bool) -> None:
    assert may_read_filter(reader, "ZTF", permissions) is may
