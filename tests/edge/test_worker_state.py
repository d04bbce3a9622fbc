"""Numbers that several processes share: who sees what, and what outlives a process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.workers.columns import Board, BoardError
from edge.workers.layout import HEADER_WORDS, SERVER_COLUMNS, VERDICT_COLUMNS, Kind, Layout

LAYOUT = Layout(("a:80", "b:80", "c:80"), 2, SERVER_COLUMNS, VERDICT_COLUMNS)

names = st.text(max_size=5)
layouts = st.builds(
    Layout,
    st.lists(names, unique=True, max_size=9).map(tuple),
    st.integers(1, 5),
    st.dictionaries(names.map("c{}".format), st.sampled_from(Kind), max_size=5),
    st.lists(names.map("t{}".format), unique=True, max_size=3).map(tuple),
)


@pytest.fixture
def board():
    made = Board.create(LAYOUT)
    yield made
    made.close()


@given(layouts)
def test_no_word_of_a_board_belongs_to_two_columns(layout):
    starts = [layout.told_start(name) for name in layout.told]
    starts += [layout.start(writer, name) for writer in range(layout.writers) for name in layout.columns]
    taken = [start + row for start in starts for row in range(len(layout.rows))]
    assert len(taken) == len(set(taken))
    assert all(HEADER_WORDS <= word < layout.words for word in taken)


@given(layouts)
def test_writers_never_share_a_cache_line(layout):
    lines = [
        {
            (layout.start(writer, name) + row) // 8
            for name in layout.columns
            for row in range(len(layout.rows))
        }
        for writer in range(layout.writers)
    ]
    assert sum(map(len, lines)) == len(set().union(*lines))


@given(layouts, layouts)
def test_layouts_that_differ_have_different_digests(one, other):
    assert (one == other and list(one.columns) == list(other.columns)) == (one.digest == other.digest)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Layout(("a", "a"), 1, SERVER_COLUMNS),
        lambda: Layout(("a",), 0, SERVER_COLUMNS),
        lambda: Layout(("a",), 1, SERVER_COLUMNS, ("requests",)),
    ],
)
def test_a_layout_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"a board needs a writer|have the same name"):
        wrong()


def test_readers_add_up_what_the_writers_wrote(board):
    board.column(0, "requests")[1] += 3
    board.column(1, "requests")[1] += 4
    board.column(1, "requests")[2] += 1
    assert board.totals("requests") == [0, 7, 1]
    assert board.total("requests", 1) == 7
    board.level(1, "latency")[0] = 0.25
    assert [column[0] for column in board.levels("latency")] == [0.0, 0.25]
    board.told("weight")[2] = 5
    assert [list(column) for column in board.columns("in_flight")] == [[0, 0, 0], [0, 0, 0]]


def test_what_another_process_writes_is_seen_here_at_once(board):
    code = (
        "import sys\n"
        "from edge.workers.columns import Board\n"
        "from test_worker_state import LAYOUT\n"
        "board = Board(int(sys.argv[1]), LAYOUT)\n"
        "board.column(1, 'requests')[0] += 5\n"
        "board.level(1, 'latency')[2] = 0.5\n"
        "print(board.told('weight')[1], board.generation)\n"
        "board.close()\n"
    )
    board.told("weight")[1] = 7
    path = os.pathsep.join(["", os.path.dirname(__file__), *sys.path])
    for started in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", code, str(board.fd)],
            pass_fds=(board.fd,),
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            check=True,
        )
        assert done.stdout.split() == [b"7", b"1"]
        # The second one counts on from where the first one stopped.
        assert board.totals("requests") == [5 * started, 0, 0]
    assert board.level(1, "latency")[2] == 0.5


def test_a_process_that_is_gone_leaves_its_counts_and_takes_its_gauges(board):
    for writer in (0, 1):
        for name in ("in_flight", "requests"):
            board.column(writer, name)[0] = 2
        board.level(writer, "latency")[0] = 0.1
    board.forget(1)
    assert board.totals("in_flight") == [2, 0, 0]
    assert board.totals("requests") == [4, 0, 0]
    assert [level[0] for level in board.levels("latency")] == [0.1, 0.0]


def test_a_successor_begins_with_what_both_know_and_misses_nothing_counted_while_workers_move(board):
    board.column(0, "requests")[0] = 10
    board.column(1, "requests")[0] = 20
    board.column(1, "requests")[1] = 99
    board.column(1, "in_flight")[2] = 3
    board.told("usable")[2] = 1
    layout = Layout(("c:80", "new:80", "a:80"), 3, SERVER_COLUMNS, VERDICT_COLUMNS)
    fresh = board.successor(layout)
    assert fresh.generation == 2
    assert fresh.totals("requests") == [0, 0, 30]
    assert fresh.totals("in_flight") == [3, 0, 0]
    assert list(fresh.told("usable")) == [1, 0, 0]
    fresh.adopt(board, 0)
    fresh.column(0, "requests")[2] += 1
    board.column(1, "requests")[0] += 1  # the other has not moved yet
    assert fresh.totals("requests") == [0, 0, 31]
    fresh.adopt(board, 1)
    assert fresh.totals("requests") == [0, 0, 32]
    fresh.close()


def test_a_successor_with_fewer_writers_is_refused(board):
    with pytest.raises(ValueError, match="2 workers cannot become 1"):
        board.successor(Layout(LAYOUT.rows, 1, SERVER_COLUMNS))


def test_a_board_of_another_layout_is_refused_with_a_remedy(board):
    other = Layout(("a:80", "b:80", "d:80"), 2, SERVER_COLUMNS, VERDICT_COLUMNS)
    with pytest.raises(BoardError, match="reload once more"):
        Board(board.fd, other)
    assert board.totals("requests") == [0, 0, 0]


def test_what_is_no_board_is_refused():
    with tempfile.TemporaryFile() as file, pytest.raises(BoardError, match="cannot be mapped"):
        Board(file.fileno(), LAYOUT)


def test_a_board_without_rows_is_a_board():
    made = Board.create(Layout((), 4, SERVER_COLUMNS, VERDICT_COLUMNS))
    assert made.totals("requests") == []
    made.close()
