"""Long computations give way to the threads that answer, and leave the interpreter as they found it."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading

import pytest

from gslb.aside import SWITCH_INTERVAL, aside


async def test_while_it_computes_threads_switch_often_and_nothing_is_collected():
    before = sys.getswitchinterval()
    seen = await aside(lambda: (sys.getswitchinterval(), gc.isenabled()))
    assert seen == (pytest.approx(SWITCH_INTERVAL), False)
    assert sys.getswitchinterval() == before
    assert gc.isenabled()


async def test_the_last_of_several_puts_things_back():
    before, release = sys.getswitchinterval(), threading.Event()
    slow = asyncio.create_task(aside(release.wait))
    await asyncio.sleep(0)
    await aside(lambda: None)
    assert not gc.isenabled()
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL)
    release.set()
    await slow
    assert gc.isenabled()
    assert sys.getswitchinterval() == before


async def test_an_error_puts_things_back_as_well():
    before = sys.getswitchinterval()
    with pytest.raises(ZeroDivisionError):
        await aside(lambda: 1 // 0)
    assert gc.isenabled()
    assert sys.getswitchinterval() == before
