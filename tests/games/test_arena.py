"""Matches are fair, games are not counted twice, and Elo is what a closed form says."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from zoolib.games import arena, go, lines, minimax, players
from zoolib.games.game import GameError

C4 = lines.connect4()


def test_openings_differ_and_end_no_game():
    starts = arena.openings(C4, 60, seed=1)
    states = [C4.play(C4.init(), *moves) for moves in starts]
    assert len({state.tobytes() for state in states}) == 60 and not any(C4.outcome(state)[0] for state in states)
    assert starts == arena.openings(C4, 60, seed=1) != arena.openings(C4, 60, seed=2)
    with pytest.raises(GameError, match="no 100 different openings"):
        arena.openings(C4, 100, seed=1, plies=1)


def test_moves_in_another_order_are_no_other_opening():
    game = go.go(5)
    starts = arena.openings(game, 600, seed=0, plies=4)
    boards = {game.play(game.init(), *moves)[:25].tobytes() for moves in starts}
    assert len(boards) == 600  # though Go's states remember the boards before


def test_no_opening_of_connect_four_is_decided_at_once():
    """After four random moves some are: whoever moves has two discs side by side, and room at both ends."""
    starts = arena.openings_for(C4, 100, seed=900)
    assert {len(moves) for moves in starts} == {3}
    assert not any(abs(minimax.minimax(C4, C4.play(C4.init(), *moves), 4)[0]) == 1 for moves in starts)
    assert len(arena.openings_for(C4, 49, seed=1, plies=2)) == 49  # all there are


def test_every_opening_is_played_with_either_colour():
    result = arena.match(C4, players.Random(C4), players.Random(C4), 40, seed=3)
    pairs = zip(result["games"][::2], result["games"][1::2], strict=True)
    assert all(a["moves"][:2] == b["moves"][:2] and a["first_begins"] != b["first_begins"] for a, b in pairs)
    assert result["wins"] + result["draws"] + result["losses"] == 40 - result["duplicates"]
    assert result["low"] <= result["score"] <= result["high"]
    assert result == arena.match(C4, players.Random(C4), players.Random(C4), 40, seed=3)


def test_more_simulations_win_and_each_side_sees_its_own_result():
    strong, weak = players.Searcher(C4, 400), players.Random(C4)
    there, back = arena.match(C4, strong, weak, 20, seed=4), arena.match(C4, weak, strong, 20, seed=4)
    assert there["score"] >= 0.8 and back["score"] <= 0.2


def test_the_same_seed_gives_the_same_moves_whatever_stands_beside():
    state = C4.init()[None]
    one = players.Searcher(C4, 50).choose(state, np.array([7], np.uint64), [[]])
    many = players.Searcher(C4, 50).choose(np.repeat(state, 5, 0), np.array([1, 2, 7, 3, 4], np.uint64), [[]] * 5)
    assert many[2] == one[0]


def test_deterministic_players_that_repeat_a_game_are_counted_once():
    class First(players.Random):
        def choose(self, states, seeds, past):
            return np.array([np.flatnonzero(self.game.legal(state))[0] for state in states])

    result = arena.match(C4, First(C4), First(C4), 4, starts=[[3, 3], [3, 3]])
    assert result["duplicates"] == 2 and result["wins"] + result["draws"] + result["losses"] == 2


@pytest.mark.parametrize("games", [0, 1, 7])
def test_a_match_needs_pairs(games):
    with pytest.raises(GameError, match=f"not {games}"):
        arena.match(C4, players.Random(C4), players.Random(C4), games)


def test_elo_of_two_players_is_the_logistic_of_their_score():
    points = np.array([1.0] * 300 + [0.0] * 100)
    (rating, low, high), anchor = (arena.elo([("a", "b", points)], "b", resamples=50)[name] for name in "ab")
    assert rating == pytest.approx(400 * np.log10(3), abs=2) and low < rating < high and anchor == (0, 0, 0)


def test_elo_is_what_choix_finds():
    """Its Bradley-Terry model knows wins only: a win counts there as two, a draw as one for either."""
    choix = pytest.importorskip("choix")
    rng, names = np.random.default_rng(4), ["a", "b", "c", "d"]
    strength, matches, pairs = np.array([0.0, 0.5, 1.2, 2.0]), [], []
    for i in range(4):
        for j in range(i):
            win = 1 / (1 + np.exp(strength[j] - strength[i]))
            points = rng.choice([1.0, 0.5, 0.0], 60, p=[0.8 * win, 0.2, 0.8 * (1 - win)])
            matches.append((names[i], names[j], points))
            for p in points:
                pairs += [(i, j)] * int(2 * p) + [(j, i)] * int(2 - 2 * p)
    pairs += [pair for i in range(1, 4) for pair in ((i, 0), (0, i))]  # the weak prior: a draw with the anchor
    theirs = choix.opt_pairwise(4, pairs, alpha=0, tol=1e-10)
    theirs = (theirs - theirs[0]) * 400 / np.log(10)
    ours = arena.elo(matches, "a", resamples=20)
    assert [ours[name][0] for name in names] == pytest.approx(theirs.tolist(), abs=0.5)


def test_a_program_is_a_player():
    gnugo = shutil.which("gnugo") or "/usr/games/gnugo"
    if not Path(gnugo).exists():
        pytest.skip("GNU Go is not on this machine")
    game = go.go(5, 0.5)
    program = players.Program(game, f"{gnugo} --mode gtp --level 1 --chinese-rules --positional-superko")
    result = arena.match(game, program, players.Random(game), 2, seed=1)
    program.close()
    assert result["wins"] == 2


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(GameError, match="nogo cannot be started"):
        players.Program(go.go(5), "nogo --mode gtp")
    with pytest.raises(GameError, match="GTP is a protocol for Go, not for connect4"):
        players.Program(C4, "gnugo")
