"""The rules of every game beside OpenSpiel's, move by move, and Go's superko beside brute force."""

import functools

import numpy as np
import pytest

from zoolib.games import go, lines

pyspiel = pytest.importorskip("pyspiel")


def random_games(game, peer, n, seed, same_action=lambda a: a):
    """Play n random games on both sides; yields each position as (state, its OpenSpiel state)."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        state, theirs = game.init(), peer.new_initial_state()
        yield state, theirs
        while not game.outcome(state)[0]:
            action = int(rng.choice(np.flatnonzero(game.legal(state))))
            game.fast.step(state, action)
            theirs.apply_action(same_action(action))
            yield state, theirs


def agree(game, state, theirs, legal=None):
    """Whether both say the same of legal moves, end and value."""
    over, value = game.outcome(state)
    assert over == theirs.is_terminal()
    if over:
        assert value == theirs.returns()[game.to_play(state)]
        assert not game.legal(state).any()
        return
    mask = np.zeros(game.actions, bool)
    mask[theirs.legal_actions() if legal is None else legal(theirs)] = True
    assert (game.legal(state) == mask).all() and game.to_play(state) == theirs.current_player()


@pytest.mark.parametrize(
    "game, peer, n",
    [
        (lines.tictactoe(), "tic_tac_toe", 1_000),
        (lines.connect4(), "connect_four", 10_000),
        (lines.gomoku(9), "mnk(m=9,n=9,k=5)", 1_000),
        (lines.gomoku(15), "mnk(m=15,n=15,k=5)", 200),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_games_of_lines_agree_with_openspiel(game, peer, n, long):
    for state, theirs in random_games(game, pyspiel.load_game(peer), 10_000 if long else n, seed=1):
        agree(game, state, theirs)


def flood(board, start):
    """The chain at `start` of a board {(row, column): colour}, and its liberties."""
    chain, edge, liberties = {start}, [start], set()
    while edge:
        row, column = edge.pop()
        for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if near not in board or near in chain:
                continue
            if board[near] == 0:
                liberties.add(near)
            elif board[near] == board[start]:
                chain.add(near)
                edge.append(near)
    return chain, liberties


def put(board, at, colour):
    """The board after a stone and its captures; a chain of one's own without liberties comes off too."""
    board = board | {at: colour}
    row, column = at
    for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1), at):
        if board.get(near, 0) not in (0, colour if near != at else 0):
            chain, liberties = flood(board, near)
            if not liberties:
                board = board | dict.fromkeys(chain, 0)
    return board


@pytest.mark.parametrize("suicide", [False, True])
@pytest.mark.parametrize("height, width, n", [(2, 3, 150), (3, 3, 150), (5, 5, 30)])
def test_superko_bans_what_brute_force_bans(height, width, n, suicide):
    game, rng = go.make(height, width, 0.5, suicide), np.random.default_rng(3)
    banned_without_capture = 0
    for _ in range(n):
        state, board = game.init(), {divmod(i, width): 0 for i in range(height * width)}
        seen = {tuple(board.values())}
        while not game.outcome(state)[0]:
            colour, expected = 1 + game.to_play(state), []
            for at in board:
                after = put(board, at, colour) if board[at] == 0 else board
                own = board[at] == 0 and after[at] == 0  # its own chain came off
                fine = board[at] == 0 and tuple(after.values()) not in seen and (suicide or not own)
                expected.append(fine)
                new = sum(after.values()) and sum(v != 0 for v in after.values()) > sum(v != 0 for v in board.values())
                banned_without_capture += bool(board[at] == 0 and new and not fine and not own)
            assert game.legal(state).tolist() == [*expected, True]
            moves = np.flatnonzero(expected)
            action = int(rng.choice(moves)) if len(moves) and rng.random() < 0.95 else height * width
            game.fast.step(state, action)
            if action < height * width:
                board = put(board, divmod(action, width), colour)
                seen.add(tuple(board.values()))
            assert state[: height * width].tolist() == list(board.values())
    assert banned_without_capture or height > 3  # on small boards, looking up captures alone is not enough


@pytest.mark.parametrize("size, n", [(9, 100), (13, 6), (19, 3)])
def test_go_agrees_with_openspiel_up_to_the_first_repetition(size, n, long):
    """OpenSpiel's Go lists a move that repeats a position as legal, and ends the game there; so what it lists is
    compared as far as superko does not ban it.  Its returns are ±1, so the score is where its winner changes: the
    game is played again with half a point of komi less than Black's lead, and with half a point more."""
    game, rng, cells = go.go(size), np.random.default_rng(2), size * size
    with_komi = functools.cache(
        lambda komi: pyspiel.load_game(f"go(board_size={size},komi={komi},max_game_length={2 * cells})")
    )
    peer = with_komi(7.0)
    to_theirs = [*((size - 1 - a // size) * size + a % size for a in range(cells)), cells]
    for _ in range(100 * n if long else n):
        state, theirs = game.init(), peer.new_initial_state()
        while not game.outcome(state)[0]:
            ours, listed = game.legal(state), np.zeros(cells + 1, bool)
            listed[theirs.legal_actions()] = True
            listed = listed[to_theirs]
            assert not (ours & ~listed).any()
            for banned in np.flatnonzero(listed & ~ours):
                assert theirs.child(to_theirs[banned]).is_terminal()
            choices = np.flatnonzero(ours[:cells]) if rng.random() < 0.98 and ours[:cells].any() else [cells]
            action = int(rng.choice(choices))
            game.fast.step(state, action)
            theirs.apply_action(to_theirs[action])
        assert theirs.is_terminal()
        assert game.outcome(state)[1] == theirs.returns()[game.to_play(state)]
        lead = go.score(game, state)[0] + 7.0
        for komi, winner in ((lead - 0.5, 0), (lead + 0.5, 1)):
            again = with_komi(komi).new_initial_state()
            for action in theirs.history():
                again.apply_action(action)
            assert again.returns()[winner] == 1
