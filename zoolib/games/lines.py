"""Games of lines on a board: tic-tac-toe, Connect Four, Gomoku of any size.

A state holds the board row by row (0 empty, 1 and 2 the players), and after it: moves played, and who has won (0 none).
"""

from __future__ import annotations

import functools

import numba
import numpy as np

from zoolib.games.game import Game, Rules, eightfold, grid, mirror


@functools.cache
def make(name: str, height: int, width: int, connect: int, gravity: bool) -> Game:
    """A game in which `connect` in a row win; with gravity an action is a column, and a stone falls to its bottom."""
    cells = height * width
    moves, winner = cells, cells + 1  # where the state keeps them
    actions = width if gravity else cells

    @numba.njit(nogil=True)
    def init(state):
        state[:] = 0

    @numba.njit(nogil=True)
    def to_play(state):
        return state[moves] % 2

    @numba.njit(nogil=True)
    def run(state, row, column, down, right, player):
        """Stones of `player` in one direction from a cell, the cell itself not counted."""
        count = 0
        for _ in range(connect - 1):
            row, column = row + down, column + right
            if row < 0 or row >= height or column < 0 or column >= width:
                break
            if state[row * width + column] != player:
                break
            count += 1
        return count

    @numba.njit(nogil=True)
    def step(state, action):
        player = 1 + state[moves] % 2
        row, column = action // width, action % width
        if gravity:
            row, column = height - 1, action
            while state[row * width + column] != 0:
                row -= 1
        state[row * width + column] = player
        state[moves] += 1
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            line = 1 + run(state, row, column, down, right, player) + run(state, row, column, -down, -right, player)
            if line >= connect:
                state[winner] = player

    @numba.njit(nogil=True)
    def legal(state, mask):
        over = state[winner] != 0
        for action in range(actions):  # with gravity, a column is full where its top cell is
            mask[action] = not over and state[action] == 0

    @numba.njit(nogil=True)
    def outcome(state):
        if state[winner] != 0:  # whoever moved last has won
            return True, -1.0
        return state[moves] == cells, 0.0

    @numba.njit(nogil=True)
    def encode(state, planes):
        own = 1 + state[moves] % 2
        for i in range(cells):
            if state[i] != 0:
                planes[0 if state[i] == own else 1, i // width, i % width] = 1.0
            elif gravity and (i + width >= cells or state[i + width] != 0):
                planes[2, i // width, i % width] = 1.0  # where a stone can come to lie now

    letters = "abcdefghijklmnopqrstuvwxyz"
    rows = [""] * height if gravity else [str(height - i) for i in range(height)]

    def move_name(action: int) -> str:
        return str(action + 1) if gravity else f"{letters[action % width]}{height - action // width}"

    def render(state: np.ndarray) -> str:
        columns = "".join(str((i + 1) % 10) for i in range(width)) if gravity else letters[:width]
        return grid(state[:cells].reshape(height, width), ".XO", columns, rows)

    return Game(
        name=name,
        actions=actions,
        shape=(3 if gravity else 2, height, width),
        state_size=cells + 2,
        rules=Rules(init, step, legal, outcome, to_play, encode),
        render=render,
        symmetries=mirror(height, width) if gravity else eightfold(height) if height == width else None,
        move_name=move_name,
        longest=cells,
        options={"height": height, "width": width, "connect": connect},
    )


def tictactoe() -> Game:
    """Three in a row on 3 by 3; an action is a cell, row by row."""
    return make("tictactoe", 3, 3, 3, False)


def connect4(height: int = 6, width: int = 7, connect: int = 4) -> Game:
    """Four in a row on 6 by 7 where stones fall; an action is a column."""
    usual = (height, width, connect) == (6, 7, 4)
    return make("connect4" if usual else f"connect{connect}_{height}x{width}", height, width, connect, True)


def gomoku(size: int = 9, connect: int = 5) -> Game:
    """Five or more in a row on a square board, freestyle: six win too, and so do lines along the edge."""
    return make(f"gomoku{size}" if connect == 5 else f"gomoku{size}-{connect}", size, size, connect, False)
