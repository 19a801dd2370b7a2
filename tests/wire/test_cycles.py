# SPDX-License-Identifier: Apache-2.0
"""The search for cycles is spared for a while, and only for that."""

import gc

import pytest

from rackwatt.wire.cycles import no_search


def test_the_search_goes_on_afterwards() -> None:
    with no_search():
        assert not gc.isenabled()
        with no_search():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_goes_on_after_an_error_too() -> None:
    with pytest.raises(KeyError), no_search():
        raise KeyError
    assert gc.isenabled()


def test_who_has_switched_it_off_finds_it_off() -> None:
    gc.disable()
    try:
        with no_search():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
