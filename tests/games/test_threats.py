"""Wins by fours, against a slow search that knows nothing of lines; and the judge that is made of them."""

import numpy as np
import pytest

from zoolib.games import arena, lines, players, strength, threats
from zoolib.games.game import GameError

GOMOKU = lines.gomoku(9)


def gomoku(text):
    """A state of 9 by 9 from rows of "X", "O" and "."; X has begun, and whose turn it is follows from the count."""
    state = GOMOKU.init()
    state[:81] = [".XO".index(mark) for mark in "".join(text.split())]
    state[81] = (state[:81] != 0).sum()
    return state


def names(state, fours=threats.LONGEST):
    return {GOMOKU.move_name(a) for a in np.flatnonzero(threats.winning_moves(GOMOKU, state, fours))}


FOUR_THREE = """
.........
.......O.
...O.....
...X.....
...X.....
...X.....
....XX.O.
.O.......
........O
"""


def test_a_line_at_once_comes_first():
    state = gomoku("XXXX..... OOOO....." + " ........." * 7)
    assert names(state, 0) == {"e9"}


def test_an_open_three_becomes_an_open_four():
    state = gomoku("......... ......... ...O..... ..XXX.... ......O.. ....O...." + " ........." * 3)
    assert state[81] % 2 == 0 and names(state, 0) == set()
    assert names(state, 1) == {"b6", "f6"}  # a gap on both sides; from a6 or g6 one side can be closed


DOUBLE_FOUR = """
....O....
....X....
....X....
....X....
OXXX.....
.........
.........
O........
..O..O.O.
"""


def test_two_fours_at_once_win():
    assert names(gomoku(DOUBLE_FOUR), 1) == {"e5"}  # a gap in the row and one in the column


def test_a_four_and_a_three_win_by_two_fours():
    state = gomoku(FOUR_THREE)
    assert names(state, 1) == set() and names(state, 2) == {"d3"}


def completed(state, who):
    """The cells that complete five or more of `who`."""
    found = set()
    for action in np.flatnonzero(state[:81] == 0):
        state[action] = who
        board = state[:81].reshape(9, 9)
        row, column = divmod(int(action), 9)
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            run = 1
            for sign in (1, -1):
                r, c = row + sign * down, column + sign * right
                while 0 <= r < 9 and 0 <= c < 9 and board[r, c] == who:
                    run, r, c = run + 1, r + sign * down, c + sign * right
            if run >= 5:
                found.add(int(action))
        state[action] = 0
    return found


def slow(state, player, fours):
    """Whether `player`, to move, wins by at most so many fours: every move and every reply is tried."""

    if completed(state, player):
        return True
    return fours > 0 and any(
        first_wins(state.copy(), player, int(action), fours) for action in np.flatnonzero(state[:81] == 0)
    )


def test_the_search_is_right_by_a_slow_one():
    found = threats.forced_wins(GOMOKU, 12, seed=5, least=2)
    for state, winning, fours in zip(*found, strict=True):
        player, fours = 1 + int(state[81]) % 2, min(int(fours), 3)  # longer ones take the slow search too long
        assert slow(state.copy(), player, fours) == threats.winning_moves(GOMOKU, state, fours).any()
        assert not slow(state.copy(), player, 1)
        for action in np.flatnonzero(GOMOKU.legal(state))[::5]:
            assert winning[action] or not first_wins(state.copy(), player, action, 2)


def first_wins(state, player, action, fours):
    """Whether a four on this cell begins a win of so many."""
    state[action] = player
    gaps = completed(state, player)
    if completed(state, 3 - player) or not gaps:
        return False
    if len(gaps) == 1:
        state[gaps.pop()] = 3 - player
        return slow(state, player, fours - 1)
    return True


def test_a_forced_win_is_won_whatever_the_other_plays():
    rng = np.random.default_rng(3)
    found = threats.forced_wins(GOMOKU, 60, seed=6)
    for state, winning, fours in zip(*found, strict=True):
        assert winning.any() and not (winning & ~GOMOKU.legal(state)).any()
        state, own, moves = state.copy(), state[81] % 2, 0
        while not GOMOKU.outcome(state)[0]:
            moves += GOMOKU.to_play(state) == own
            if GOMOKU.to_play(state) == own:
                left = next(k for k in range(fours + 1) if threats.winning_moves(GOMOKU, state, k).any())
                action = threats.winning_moves(GOMOKU, state, left).argmax()
            else:  # parries if it can, else anything
                must = [a for a in np.flatnonzero(GOMOKU.legal(state)) if wins_at_once(state, a)]
                action = rng.choice(must or np.flatnonzero(GOMOKU.legal(state)))
            state = GOMOKU.play(state, int(action))
        assert GOMOKU.outcome(state)[1] == -1 and GOMOKU.to_play(state) != own and moves <= fours + 1


def wins_at_once(state, action):
    """Whether the player who is *not* to move would win there."""
    after = state.copy()
    after[81] += 1
    after = GOMOKU.play(after, int(action))
    return GOMOKU.outcome(after)[0] and GOMOKU.outcome(after)[1] == -1


def test_a_four_of_the_other_must_be_parried():
    rows = "..XXX.... OOOO.....", " .X......." + " ........." * 6
    assert names(gomoku("..XXX.... OOO.....O" + rows[1])) != set()
    assert names(gomoku(rows[0] + rows[1])) == set()  # no stone of X makes a four and stops e8


def test_other_games_have_no_threats():
    for game in (lines.connect4(), lines.tictactoe()):
        with pytest.raises(GameError, match="threats are those of Gomoku"):
            threats.searcher(game)


def test_sets_are_the_same_again_and_have_no_doubles():
    one, two = (threats.forced_wins(GOMOKU, 30, seed=1) for _ in range(2))
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert len({state.tobytes() for state in one.states}) == 30 and (one.fours >= 1).all()
    assert (threats.forced_wins(GOMOKU, 5, seed=1, least=2).fours >= 2).all()


class Perfect(players.Player):
    """Plays the first of the fours that win, where there are any."""

    def choose(self, states, seeds, past):
        return np.array([threats.winning_moves(GOMOKU, state).argmax() for state in states])


def test_found_wins_are_counted(monkeypatch):
    small = threats.forced_wins(GOMOKU, 20, seed=1)
    assert (small.fours == 1).any()
    monkeypatch.setattr(strength, "_forced", lambda game: small)
    found = strength.forced_found(GOMOKU, Perfect())
    assert found.all()
    rates = strength.forced_rates(GOMOKU, found)
    assert sum(rate["positions"] for rate in rates.values()) == 20
    chance = strength.forced_found(GOMOKU, players.Random(GOMOKU))
    assert chance.mean() < 0.5


def test_openings_of_gomoku_are_balanced():
    found = arena.openings_for(GOMOKU, 6, seed=1)
    accept = arena.balanced(GOMOKU)
    states = np.stack([GOMOKU.play(GOMOKU.init(), *moves) for moves in found])
    assert len(found) == 6 and all(len(moves) == 4 for moves in found) and accept(states).all()
    assert not accept(gomoku(FOUR_THREE)[None]).any()
    assert arena.openings_for(lines.tictactoe(), 6, seed=1) == arena.openings(lines.tictactoe(), 6, seed=1)
