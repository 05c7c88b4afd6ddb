"""The Connect Four solver beside brute force by the rules, minimax beside exact values, what counts as a mistake."""

import io

import numpy as np
import pytest

from tests.games.test_search import plain
from zoolib.games import lines, minimax, solver
from zoolib.games.game import GameError

CONNECT4 = lines.connect4()


@pytest.fixture(scope="module")
def judge():
    return solver.Connect4Solver(table_bits=18)


def after(game, moves):
    """The state after columns that are numbered from 1, as people write them."""
    return game.play(game.init(), *[int(move) - 1 for move in moves])


def positions(game, least, most, n, seed):
    """n positions of random games that are not over, of `least` to `most` plies."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < n:
        state = game.init()
        for _ in range(rng.integers(least, most + 1)):
            game.fast.step(state, int(rng.choice(np.flatnonzero(game.legal(state)))))
            if game.outcome(state)[0]:
                break
        else:
            if not game.outcome(state)[0]:
                found.append(state)
    return found


def brute_force(state, known):
    """The score of a Connect Four position by its rules, every line of play looked at."""
    key = state[:42].tobytes()
    if key not in known:
        over, value = CONNECT4.outcome(state)
        if over:
            known[key] = int(value) * (22 - int(state[42] + 1) // 2)
        else:
            children = []
            for column in np.flatnonzero(CONNECT4.legal(state)):
                child = state.copy()
                CONNECT4.fast.step(child, column)
                children.append(-brute_force(child, known))
            known[key] = max(children)
    return known[key]


@pytest.mark.parametrize("least, most, n", [(26, 28, 2), (30, 34, 60), (35, 41, 80)])
def test_solver_agrees_with_brute_force(judge, least, most, n):
    for state in positions(CONNECT4, least, most, n, seed=least):
        known = {}
        assert judge.solve(state) == brute_force(state, known)
        values, legal = judge.values(state), CONNECT4.legal(state)
        assert (np.isnan(values) == ~legal).all()
        for column in np.flatnonzero(legal):
            assert values[column] == -np.sign(brute_force(CONNECT4.play(state, column), known))
        assert (judge.best(state) == (values == np.nanmax(values))).all()


def test_solver_knows_what_others_have_found(judge):
    """Allis 1988 of the empty board; Pons, part 2, of two positions."""
    assert judge.values(CONNECT4.init()).tolist() == [-1, -1, 0, 1, 0, -1, -1]
    assert np.flatnonzero(judge.best(CONNECT4.init())).tolist() == [3]
    assert judge.solve(after(CONNECT4, "4455")) == 18
    assert judge.solve(after(CONNECT4, "44455554221")) == -15
    assert judge.values(after(CONNECT4, "44455554221")).tolist() == [-1] * 7


def mirrored(state):
    """The same position, left and right changed."""
    return np.append(state[:42].reshape(6, 7)[:, ::-1].ravel(), state[42:])


def test_mirrored_positions_have_mirrored_values(judge):
    for state in positions(CONNECT4, 16, 24, 40, seed=5):
        image = mirrored(state)
        assert np.array_equal(judge.values(state), judge.values(image)[::-1], equal_nan=True)
        assert judge.solve(state) == judge.solve(image)


def test_a_table_that_overflows_changes_no_value():
    large, small = solver.Connect4Solver(18), solver.Connect4Solver(4)
    for state in positions(CONNECT4, 18, 24, 20, seed=6):
        assert np.array_equal(large.values(state), small.values(state), equal_nan=True)
        assert large.solve(state) == small.solve(state)


def test_a_game_that_is_over_has_no_values(judge):
    won = after(CONNECT4, "1212121")
    assert np.isnan(judge.values(won)).all() and not judge.best(won).any()
    assert judge.solve(won) == -judge.solve(after(CONNECT4, "121212")) == -18


def test_work_is_limited_and_what_the_solver_cannot_do_is_said(judge):
    limited = solver.Connect4Solver(18)
    with pytest.raises(GameError, match="more than 1000 positions to solve this one of ply 4"):
        limited.values(after(CONNECT4, "4415"), max_nodes=1_000)
    with pytest.raises(GameError, match="more than 1000 positions"):
        limited.solve(after(CONNECT4, "4415"), max_nodes=1_000)
    assert np.count_nonzero(limited.table) <= 2_000
    for state in positions(CONNECT4, 15, 18, 30, seed=9):
        for most in (3, 30, 300):
            try:
                limited.values(state, most)
            except GameError:
                pass
        assert limited.solve(state) == judge.solve(state)  # nothing wrong has stayed in the table
    with pytest.raises(GameError, match="44 numbers a state, not 22"):
        judge.values(lines.connect4(4, 5).init())
    with pytest.raises(GameError, match="from 1 to 24, not 40"):
        solver.Connect4Solver(40)


def test_codes_hold_positions():
    codes = set()
    for state in positions(CONNECT4, 0, 41, 300, seed=7):
        assert (solver.unpack(solver.pack(state)) == state).all()
        codes.add((solver.pack(state), state.tobytes()))
    assert len({code for code, _ in codes}) == len(codes)


def test_phases_and_mistakes(judge):
    state = after(CONNECT4, "7422341735647741166133573473242566")  # columns 1, 2, 5 and 6 are open
    values, known = judge.values(state), {}
    assert np.array_equal(values, [-1, 1, np.nan, np.nan, -1, 1, np.nan], equal_nan=True)
    assert all(np.sign(brute_force(CONNECT4.play(state, a), known)) == -values[a] for a in (0, 1, 4, 5))
    assert [solver.is_mistake(values, a) for a in (0, 1, 4, 5)] == [True, False, True, False]
    assert solver.counts(values) and not solver.counts(judge.values(after(CONNECT4, "44335")))  # where all is lost
    by_hand = np.array([np.nan, 1, 0, -1, 1, 0, -1])
    for values in (by_hand, np.nan_to_num(by_hand, nan=solver.ILLEGAL).astype(np.int8)):
        assert [solver.is_mistake(values, a) for a in range(1, 7)] == [False, True, True, False, True, True]
        assert solver.counts(values)
        with pytest.raises(GameError, match="column 1 is not legal"):
            solver.is_mistake(values, 0)
    assert [solver.is_mistake(np.array([0, -1.0, np.nan]), a) for a in range(2)] == [False, True]
    assert not solver.counts(np.array([np.nan, 0, 0, np.nan])) and not solver.counts(np.full(7, np.nan))
    plies = [0, 14, 15, 28, 29, 41]
    states = np.zeros((6, 44), np.int64)
    states[:, 42] = plies
    assert [solver.phase(s) for s in states] == ["opening", "opening", "middle", "middle", "end", "end"]


def test_solved_positions_count_are_distinct_and_small(judge, monkeypatch):
    monkeypatch.setitem(solver.PHASES, "opening", (14, 14))  # earlier plies take too long here
    found = solver.solved_positions(3, seed=1)
    again = solver.solved_positions(3, seed=1)
    assert all((found[key] == again[key]).all() for key in found)
    states = [solver.unpack(code) for code in found["codes"]]
    assert [solver.phase(state) for state in states] == ["opening"] * 3 + ["middle"] * 3 + ["end"] * 3
    assert len(set(found["codes"].tolist())) == 9 and found["values"].shape == (9, 7)
    for state, values in zip(states, found["values"], strict=True):
        legal = CONNECT4.legal(state)
        assert solver.counts(values) and ((values == solver.ILLEGAL) == ~legal).all()
        assert (values[legal] == judge.values(state)[legal]).all()
    file = io.BytesIO()
    np.savez_compressed(file, **found)
    assert len(file.getvalue()) < 800


def test_mirror_images_are_solved_once(judge, monkeypatch):
    games = [state for state in positions(CONNECT4, 20, 28, 40, seed=10) if solver.counts(judge.values(state))]
    drawn = iter([games[0], mirrored(games[0]), games[0], games[1], mirrored(games[1]), games[2]])
    monkeypatch.setattr(solver, "sensible", lambda *_: next(drawn))
    assert solver.solved_positions(1, seed=0)["codes"].tolist() == [solver.pack(state) for state in games[:3]]


@pytest.fixture(scope="module")
def tictactoe_values():
    return minimax.optimal_values(lines.tictactoe())


def test_tictactoe_is_a_draw_of_so_many_states(tictactoe_values):
    game = lines.tictactoe()
    assert len(tictactoe_values) == 5_478
    assert sum(bool(best.any()) for _, best in tictactoe_values.values()) == 4_520
    value, best = tictactoe_values[game.init().tobytes()]
    assert value == 0 and best.all()
    value, best = tictactoe_values[after(game, "1").tobytes()]  # a corner is answered by the centre alone
    assert value == 0 and np.flatnonzero(best).tolist() == [4]


def test_minimax_to_the_end_is_optimal(tictactoe_values):
    game = lines.tictactoe()
    slow, rng = plain(game), np.random.default_rng(0)
    assert slow.compiled is None
    keys = [key for key, (_, best) in tictactoe_values.items() if best.any()]
    for i, at in enumerate(rng.choice(len(keys), 400, replace=False)):
        state = np.frombuffer(keys[at], np.int64)
        known, best = tictactoe_values[keys[at]]
        value, action = minimax.minimax(game, state, 9)
        assert value == known and best[action]
        if i < 40 and state[9] > 3:
            assert minimax.minimax(slow, state, 9) == (value, action)


def test_minimax_agrees_with_the_solver(judge):
    for state in positions(CONNECT4, 28, 34, 40, seed=8):
        values = judge.values(state)
        value, action = minimax.minimax(CONNECT4, state, 14)
        assert value == np.nanmax(values) == values[action]


def test_minimax_wins_as_soon_and_loses_as_late_as_it_can():
    state = after(CONNECT4, "4433")  # two beside each other on the ground win in three plies
    assert minimax.minimax(CONNECT4, state, 2) == (0.0, 3)
    for depth in (3, 6):
        value, action = minimax.minimax(CONNECT4, state, depth)
        assert value == 1 and action in (1, 4)
    game = lines.tictactoe()
    state = after(game, "1254")  # X wins at once in a corner, and later by another
    for depth in (1, 5):
        assert minimax.minimax(game, state, depth) == (1.0, 8)
    state = after(game, "124")  # X has a column to fill, and once that is parried, a fork
    for depth in (4, 6):
        assert minimax.minimax(game, state, depth) == (-1.0, 6)


def gomoku(text):
    """A game and a state from rows of "X", "O" and "."; X has begun."""
    rows = text.split()
    game = lines.gomoku(len(rows))
    state = game.init()
    state[: len(rows) ** 2] = [".XO".index(mark) for mark in "".join(rows)]
    state[len(rows) ** 2] = (state[: len(rows) ** 2] != 0).sum()
    return game, state


OPEN_THREE = """
.........
.O.......
.........
...XXX...
....O....
......O..
.........
.........
.........
"""


def test_minimax_sees_threats_in_gomoku():
    game, state = gomoku(OPEN_THREE)
    score, order = minimax.gomoku_threats(game), minimax.gomoku_moves(game)
    assert game.to_play(state) == 0
    value, action = minimax.minimax(game, state, 3, score, order)  # an open four, which wins
    assert value == 1 and game.move_name(action) in ("c6", "g6")
    state[game.actions - 1], state[81] = 1, 7  # another stone of X far off: now O must parry the three
    value, action = minimax.minimax(game, state, 4, score, order)
    assert value > -1 and game.move_name(action) in ("b6", "c6", "g6", "h6")
    assert minimax.minimax(game, state, 2)[0] == 0  # which neither the outcome in two plies shows
    assert score(state) < -0.2  # nor needs a search


def test_gomoku_scores_are_ordered():
    def score(row, to_move):
        game, state = gomoku("\n".join([*["." * 9] * 4, row, *["." * 9] * 4]))
        state[81] += (state[81] + "XO".index(to_move)) % 2
        return minimax.gomoku_threats(game)(state)

    ladder = ["....X....", "...XX....", "O..XXX...", "...XXX...", "OXXXX....", "..XXXX..."]
    assert (np.diff([score(row, "O") for row in ladder]) < 0).all()
    assert score("..XXXX...", "O") == -0.98 and score("OXXXX....", "O") > -0.98
    game, state = gomoku("OXXXX.... .....X... .....X... .....X... .....X... .....O... ......... ......... .........")
    state[81] = 9  # O is to move and has one cell that parries both fours
    assert game.to_play(state) == 1 and -0.98 < minimax.gomoku_threats(game)(state) < -0.5
    assert score("OXXXX....", "X") == 0.99 and score("OXXXXO...", "X") < 0.5
    assert score("...XXX...", "X") > -score("...XXX...", "O") > 0


def test_gomoku_moves_are_near_and_best_first():
    game, state = gomoku(OPEN_THREE)
    order, moves = minimax.gomoku_moves(game), np.zeros(81, np.int64)
    assert order(game.init(), moves) == 1 and moves[0] == 40
    n = order(state, moves)
    rows, columns = np.divmod(np.arange(81), 9)
    stones = np.flatnonzero(state[:81])
    near = (np.maximum(abs(rows[:, None] - rows[stones]), abs(columns[:, None] - columns[stones])) <= 2).any(1)
    assert sorted(moves[:n]) == np.flatnonzero(near & (state[:81] == 0)).tolist()
    assert {game.move_name(move) for move in moves[:2]} == {"c6", "g6"}


def test_what_minimax_cannot_do_is_said():
    with pytest.raises(GameError, match="at least 1 ply ahead, not 0"):
        minimax.minimax(CONNECT4, CONNECT4.init(), 0)
    with pytest.raises(GameError, match="the game is over"):
        minimax.minimax(CONNECT4, after(CONNECT4, "1212121"), 3)
    with pytest.raises(GameError, match="an action of connect4 is no cell"):
        minimax.gomoku_moves(CONNECT4)
