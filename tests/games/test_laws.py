"""The laws of games: ours obey them, and each of them is missed when it is broken."""

from dataclasses import replace

import numpy as np
import pytest

from zoolib.games import catalogue, laws
from zoolib.games.game import GameError


@pytest.mark.parametrize("name, games", [("tictactoe", 100), ("connect4", 50), ("gomoku9", 5), ("go5", 20), ("go9", 2)])
def test_every_game_obeys_the_laws(name, games):
    result = laws.check(catalogue.named(name), games=games)
    assert result["first"] + result["draws"] <= 1 and result["length"] > 4


def test_what_random_games_are_like_is_told():
    """Random tic-tac-toe: X wins 58.5 %, 12.7 % are drawn, and only the one who moved last can have won."""
    result = laws.check(catalogue.named("tictactoe"), games=2_000)
    assert abs(result["first"] - 0.585) < 0.04 and abs(result["draws"] - 0.127) < 0.03
    assert abs(result["last"] - (1 - result["draws"])) < 1e-9


game = catalogue.named("tictactoe")
plain = game.rules._replace(**{name: rule.py_func for name, rule in game.rules._asdict().items()})


def after_the_end(state, mask):
    for action in range(9):
        mask[action] = state[action] == 0


def legal_that_only_adds(state, mask):
    if state[10] == 0:
        for action in range(9):
            if state[action] == 0:
                mask[action] = True


def none_in_the_middle(state, mask):
    plain.legal(state, mask)
    if state[9] == 4:
        mask[:] = False


def a_look_that_moves(state):
    state[9] += 0 if plain.outcome(state)[0] else 1
    return state[9] % 2


def third_player(state):
    return state[9] % 3


def blind(state, planes):
    planes[0, 0, 0] = state[9]


def infinite(state, planes):
    planes[0, 0, 0] = np.inf


def lopsided(state, planes):
    plain.encode(state, planes)
    planes[0, 0, 0] += 3 * (state[0] != 0)


@pytest.mark.parametrize(
    "broken, says",
    [
        ({"legal": after_the_end}, "is over, and legal still allows"),
        ({"legal": legal_that_only_adds}, "write every entry of its mask"),
        ({"legal": none_in_the_middle}, "legal allows no action"),
        ({"to_play": a_look_that_moves}, "one of them has changed the state"),
        ({"to_play": third_player}, "0 or 1, not 2"),
        ({"outcome": lambda state: (plain.outcome(state)[0], 2.0)}, r"\[-1, 1\], not 2"),
        ({"encode": blind}, "cannot tell two positions apart"),
        ({"encode": infinite}, "not finite"),
        ({"encode": lopsided}, "symmetry 1 is none"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_law_is_named(broken, says):
    with pytest.raises(GameError, match=says):
        symmetries = None if "encode" in broken and "symmetry" not in says else game.symmetries
        laws.check(replace(game, rules=plain._replace(**broken), symmetries=symmetries), games=50)


def test_a_game_that_does_not_end_is_named():
    with pytest.raises(GameError, match="after 6 moves, more than `longest` says .moves: "):
        laws.check(replace(game, longest=6), games=50)


def test_a_symmetry_without_a_place_for_every_action_is_named():
    cells, actions = game.symmetries
    with pytest.raises(GameError, match="9 actions a place"):
        laws.check(replace(game, symmetries=(cells, actions[:, :8])), games=1)


def test_python_that_numba_reads_otherwise_is_named():
    """Whole numbers of 64 bits wrap around in numba, and grow in Python."""

    def encode(state, planes):
        planes[0, 0, 0] = 1.0 if int(state[9] + 1) * 2**62 * 4 > 0 else 0.0
        for i in range(9):
            planes[1, i // 3, i % 3] = state[i]

    with pytest.raises(GameError, match="encode does one thing in Python and another compiled"):
        laws.check(replace(game, rules=plain._replace(encode=encode)), games=5)


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"shape": (1, 3)}, "three positive numbers, channels, height and width, not .1, 3."),
        ({"actions": 0}, "actions must be at least 1, not 0"),
        ({"rules": plain[:5]}, "the six functions init, step, legal, outcome, to_play, encode, not 5"),
        ({"rules": plain._replace(step=lambda state: None)}, "step must be a function of .state, action."),
    ],
)
def test_a_game_that_cannot_be_is_refused_as_it_is_made(wrong, says):
    with pytest.raises(GameError, match=says):
        replace(game, **wrong)


def in_the_fourth_row(state, planes):
    plain.encode(state, planes)
    if state[9] > 2:
        planes[0, 3, 0] = 1


def one_beyond(state, action):
    plain.step(state, action)
    if state[9] > 2:
        state[len(state)] = 1


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"state_size": 10}, "too small"),
        ({"actions": 8}, "too small"),
        ({"shape": (1, 3, 3)}, "too small"),
        ({"rules": plain._replace(encode=in_the_fourth_row)}, "encode: .* too small.*moves: "),
        ({"rules": plain._replace(step=one_beyond)}, "step: .* too small.*moves: "),
    ],
)
def test_sizes_that_are_too_small_are_named_before_compiled_code_writes_beyond_them(wrong, says):
    with pytest.raises(GameError, match=says):
        laws.check(replace(game, symmetries=None, **wrong), games=3)


def test_an_outcome_that_is_no_pair_is_named():
    with pytest.raises(GameError, match="outcome must return two things, .* not 1"):
        laws.check(replace(game, rules=plain._replace(outcome=lambda state: 1)), games=1)


def looks(state):
    return state[10] != 0


def to_play_by_a_helper(state):
    looks(state)
    return state[9] % 2


def test_a_helper_that_is_not_compiled_is_named():
    mine = replace(game, rules=game.rules._replace(to_play=to_play_by_a_helper))
    assert mine.compiled is None and mine.why_not == "looks lacks @numba.njit"
