"""Adapters beside the library that they speak to, move by move, and there and back again."""

import dataclasses
import sys
import warnings

import numpy as np
import pytest

from zoolib.games import go, lines, mcts, openspiel, pettingzoo, search
from zoolib.games.game import GameError

spiel = pytest.importorskip("pyspiel")
zoo = pytest.importorskip("pettingzoo")
spaces = pytest.importorskip("gymnasium.spaces")


def random_games(game, n, seed):
    """Play n random games; yields the actions so far and the state."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        state, actions = game.init(), []
        yield actions, state
        while not game.outcome(state)[0]:
            actions = [*actions, int(rng.choice(np.flatnonzero(game.legal(state))))]
            state = game.play(state, actions[-1])
            yield actions, state


def same_position(ours, state, theirs, other, shared=0):
    """Whether two of our games say the same of two states; the second may have a plane more.

    shared: how many planes the two have in common, where it is not all of ours.
    """
    planes = theirs.encode(other)
    assert ours.outcome(state) == theirs.outcome(other) and ours.to_play(state) == theirs.to_play(other)
    assert (ours.legal(state) == theirs.legal(other)).all()
    shared = shared or ours.shape[0]
    assert (ours.encode(state)[:shared] == planes[:shared]).all()
    assert (planes[shared:] == ours.to_play(state)).all()


def same_as_openspiel(game, state, theirs):
    """Whether a game of ours and a state of OpenSpiel's say the same."""
    over, value = game.outcome(state)
    assert over == theirs.is_terminal()
    assert np.flatnonzero(game.legal(state)).tolist() == theirs.legal_actions()
    if over:
        assert value == theirs.returns()[game.to_play(state)] == -theirs.returns()[1 - game.to_play(state)]
    else:
        assert game.to_play(state) == theirs.current_player()


# --- to OpenSpiel


@pytest.mark.parametrize(
    "game, peer",
    [(lines.tictactoe(), "tic_tac_toe"), (lines.connect4(), "connect_four")],
    ids=["tictactoe", "connect4"],
)
def test_to_openspiel_plays_as_openspiels_own(game, peer):
    adapted, own = openspiel.to_openspiel(game), spiel.load_game(peer)
    for actions, state in random_games(game, 20, seed=1):
        theirs, expected = adapted.new_initial_state(), own.new_initial_state()
        for action in actions:
            theirs.apply_action(action)
            expected.apply_action(action)
        assert theirs.current_player() == expected.current_player() and theirs.returns() == expected.returns()
        assert theirs.legal_actions() == expected.legal_actions() and theirs.is_terminal() == expected.is_terminal()
        for player in (0, 1):
            assert theirs.observation_tensor(player) == game.encode(state).ravel().tolist()
        assert str(theirs).startswith(game.render(state))


def test_openspiels_own_test_passes_and_the_game_is_found_by_its_name(capfd):
    openspiel.to_openspiel(lines.tictactoe())
    adapted = openspiel.to_openspiel(lines.tictactoe())  # once more, as a cell that is run again
    assert str(adapted) == "zoolib_tictactoe_3_3_3()"
    spiel.random_sim_test(spiel.load_game("zoolib_tictactoe_3_3_3"), 2, True, False)
    assert str(openspiel.to_openspiel(go.go(3, komi=0.5))) != str(openspiel.to_openspiel(go.go(3, komi=1.5)))


def test_a_state_is_copied_and_an_illegal_action_named():
    state = openspiel.to_openspiel(lines.connect4()).new_initial_state()
    copy = state.clone()
    copy.apply_action(3)
    assert state.history() == [] and copy.history() == [3] and str(state) != str(copy)
    assert copy.action_to_string(1, 3) == "4"
    for _ in range(5):
        copy.apply_action(3)
    with pytest.raises(GameError, match="^4 is not legal here; legal: 1 2 3 5 6 7$"):
        copy.apply_action(3)


def test_positions_that_look_alike_differ_in_their_text():
    theirs = openspiel.to_openspiel(go.go(3))
    opening, passed = theirs.new_initial_state(), theirs.new_initial_state()
    passed.apply_action(9)
    assert str(opening) != str(passed)


def test_openspiels_mcts_beats_chance_on_our_connect_four():
    from open_spiel.python.algorithms import mcts as theirs

    game, rng = openspiel.to_openspiel(lines.connect4()), np.random.RandomState(1)
    bot = theirs.MCTSBot(game, 2.0, 25, theirs.RandomRolloutEvaluator(1, rng), random_state=rng)
    scores = []
    for first in (0, 1, 0, 1):
        state = game.new_initial_state()
        while not state.is_terminal():
            searches = state.current_player() == first
            state.apply_action(bot.step(state) if searches else int(rng.choice(state.legal_actions())))
        scores.append(state.returns()[first])
    assert sum(scores) >= 3


def test_openspiels_alpha_beta_finds_the_same_on_both_sides():
    from open_spiel.python.algorithms import minimax as theirs

    values, rng = set(), np.random.default_rng(1)
    for _ in range(20):
        start, answers = rng.permutation(9)[:4].tolist(), []
        for game in (openspiel.to_openspiel(lines.tictactoe()), spiel.load_game("tic_tac_toe")):
            state = game.new_initial_state()
            for action in start:
                state.apply_action(action)
            answers.append(theirs.alpha_beta_search(game, state, maximizing_player_id=0))
        assert answers[0] == answers[1]
        values.add(answers[0][0])
    assert values == {-1, 0, 1}


# --- from OpenSpiel

NAMES = ["tic_tac_toe", "connect_four", "breakthrough(rows=5,columns=5)", "othello", "nim", "dots_and_boxes"]


@pytest.mark.parametrize("name", NAMES)
def test_from_openspiel_plays_as_it_does_there(name):
    game, peer = openspiel.from_openspiel(name), spiel.load_game(name)
    size = peer.observation_tensor_size()
    extra = game.shape[0] * game.shape[1] * game.shape[2] - size
    assert bool(extra) == (name != "othello")  # whose tensor is another for each player; else a plane says who moves
    assert game.shape[1:] == ((1, 1) if name == "nim" else tuple(peer.observation_tensor_shape()[1:]))
    assert (game.actions, game.longest) == (peer.num_distinct_actions(), peer.max_game_length())
    for actions, state in random_games(game, 8, seed=2):
        theirs = peer.new_initial_state()
        for action in actions:
            theirs.apply_action(action)
        same_as_openspiel(game, state, theirs)
        player = game.to_play(state)
        planes = game.encode(state).ravel()
        assert planes[:size].tolist() == theirs.observation_tensor(player)
        assert (planes[size:] == player).all()
        assert game.render(state).startswith(str(theirs).rstrip())


def test_positions_are_found_in_any_order():
    game = openspiel.from_openspiel("breakthrough(rows=5,columns=5)")
    known = [
        (state, game.legal(state), game.outcome(state), game.to_play(state), game.encode(state), game.render(state))
        for _, state in random_games(game, 5, seed=3)
    ]
    again = openspiel.from_openspiel("breakthrough(rows=5,columns=5)")
    for i in np.random.default_rng(4).permutation(len(known)):
        state, legal, outcome, player, planes, text = known[i]
        assert again.render(state) == text and again.outcome(state) == outcome and again.to_play(state) == player
        assert (again.legal(state) == legal).all() and (again.encode(state) == planes).all()


def visits(game):
    """How often a search visits the moves of two games."""
    trees = search.Search(game, 2, 60, mcts.ucb, keep=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # its random numbers overflow on purpose
        trees.run(60, np.array([1, 2], np.uint64))
    assert trees.visits().sum() >= 118
    return trees.visits().tolist()


def test_a_search_visits_on_their_games_what_it_visits_on_ours(capsys):
    game = dataclasses.replace(lines.tictactoe())
    vars(game).update(compiled=None, why_not="a test wants it so")  # the same as compiled, which takes longer
    expected = visits(game)
    assert visits(openspiel.from_openspiel("tic_tac_toe")) == expected
    assert visits(pettingzoo.from_pettingzoo(pettingzoo.to_pettingzoo(lines.tictactoe()))) == expected
    _, first, second = capsys.readouterr().err.splitlines()
    for said, name in ((first, "tic_tac_toe"), (second, "tictactoe_v0")):
        assert said.startswith(f"{name} is searched in plain Python") and said.endswith(
            "its rules are another library's"
        )


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back_again(name):
    own = spiel.load_game(name)
    back = openspiel.to_openspiel(openspiel.from_openspiel(own))
    rng = np.random.default_rng(5)
    state, expected = back.new_initial_state(), own.new_initial_state()
    while not expected.is_terminal():
        assert state.legal_actions() == expected.legal_actions() and not state.is_terminal()
        assert state.current_player() == expected.current_player()
        size = own.observation_tensor_size()
        assert state.observation_tensor(0)[:size] == expected.observation_tensor(expected.current_player())
        action = int(rng.choice(expected.legal_actions()))
        state.apply_action(action)
        expected.apply_action(action)
    assert state.is_terminal() and state.returns() == expected.returns()


@pytest.mark.parametrize("game", [lines.connect4(), go.go(3)], ids=["connect4", "go3"])
@pytest.mark.parametrize("way", ["OpenSpiel", "PettingZoo"])
def test_back_and_there_again(game, way):
    if way == "OpenSpiel":
        back = openspiel.from_openspiel(openspiel.to_openspiel(game))
    else:
        back = pettingzoo.from_pettingzoo(pettingzoo.to_pettingzoo(game, "ansi"))
    for actions, state in random_games(game, 2, seed=6):
        other = back.play(back.init(), *actions[:-1])
        same_position(game, state, back, back.play(other, *actions[-1:]))
        if way == "PettingZoo":
            assert back.render(back.play(other, *actions[-1:])) == game.render(state)


RULE = "; a game here is for two who move in turn and see everything, without chance, and what one wins the other loses"


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("kuhn_poker", "kuhn_poker has chance and hidden information" + RULE),
        ("backgammon", "backgammon has chance" + RULE),
        ("phantom_ttt", "phantom_ttt has hidden information" + RULE),
        ("matrix_pd", "matrix_pd has simultaneous moves and returns that do not sum to zero" + RULE),
        ("matching_pennies_3p", "matching_pennies_3p has 3 players and simultaneous moves and returns"),
        ("conect_four", "OpenSpiel has no game 'conect_four'; did you mean connect_four?"),
        ("breakthrough(rows=-3)", "OpenSpiel cannot make 'breakthrough(rows=-3)': "),
        ("tic_tac_toe(size=4)", "OpenSpiel cannot make 'tic_tac_toe(size=4)': Unknown parameter 'size'"),
    ],
)
def test_from_openspiel_says_what_it_cannot_take(name, sentence):
    with pytest.raises(GameError) as error:
        openspiel.from_openspiel(name)
    assert str(error.value).startswith(sentence)


# --- to PettingZoo


@pytest.mark.parametrize("game", [lines.connect4(), go.go(3)], ids=["connect4", "go3"])
def test_pettingzoos_own_tests_pass(game, capsys):
    from pettingzoo.test import api_test, render_test, seed_test

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # observations with masks, which it knows of its own games only
        api_test(pettingzoo.to_pettingzoo(game), num_cycles=100)
    seed_test(lambda: pettingzoo.to_pettingzoo(game), num_cycles=50)
    render_test(lambda render_mode=None: pettingzoo.to_pettingzoo(game, render_mode))


@pytest.mark.parametrize("name, game", [("connect_four", lines.connect4()), ("tictactoe", lines.tictactoe())])
def test_to_pettingzoo_plays_as_pettingzoos_own(name, game):
    pytest.importorskip("pygame")
    own = pytest.importorskip(f"pettingzoo.classic.{name}.{name}").env()
    ours, rng = pettingzoo.to_pettingzoo(game), np.random.default_rng(7)
    for _ in range(15):
        ours.reset()
        own.reset()
        for agent in ours.agent_iter():
            observation, reward, terminated, truncated, _ = ours.last()
            theirs = own.last()
            assert ours.possible_agents.index(agent) == own.possible_agents.index(own.agent_selection)
            assert ours.observation_space(agent).contains(observation)
            assert (reward, terminated, truncated) == theirs[1:4]
            if terminated:
                action = None
            else:
                assert (observation["observation"][..., :2] == theirs[0]["observation"]).all()  # ours shows more
                assert (observation["action_mask"] == theirs[0]["action_mask"]).all()
                action = int(rng.choice(np.flatnonzero(observation["action_mask"])))
            ours.step(action)
            own.step(action)
        assert not own.agents


def test_whoever_waits_has_nothing_to_play():
    env = pettingzoo.to_pettingzoo(lines.tictactoe())
    env.reset()
    env.step(4)
    assert env.agent_selection == "player_1" and not env.observe("player_0")["action_mask"].any()
    assert env.observe("player_1")["action_mask"].tolist() == [1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert env.observe("player_1")["observation"][1, 1].tolist() == [0, 1]


def test_an_illegal_action_is_named_or_loses_as_is_the_convention():
    from pettingzoo.utils.wrappers import TerminateIllegalWrapper

    env = pettingzoo.to_pettingzoo(lines.tictactoe())
    env.reset()
    env.step(4)
    for action, called in ((4, "b2"), (9, "9"), (-1, "-1")):
        with pytest.raises(GameError, match=f"^{called} is not legal here; legal: a3 b3 c3 a2 c2 a1 b1 c1$"):
            env.step(action)
    env = TerminateIllegalWrapper(env, illegal_reward=-1)
    env.reset()
    env.step(4)
    env.step(4)
    assert env.rewards == {"player_0": 0, "player_1": -1} and all(env.terminations.values())


def test_rendering_returns_or_prints(capsys):
    game = lines.tictactoe()
    env = pettingzoo.to_pettingzoo(game, "ansi")
    env.reset()
    env.step(4)
    assert env.render() == game.render(game.play(game.init(), 4)) and not capsys.readouterr().out
    env = pettingzoo.to_pettingzoo(game, "human")
    env.reset()
    env.step(4)
    assert capsys.readouterr().out == game.render(game.play(game.init(), 4)) + "\n"
    with pytest.raises(GameError, match="^render_mode is one of human, ansi, or None, not 'rgb_array'$"):
        pettingzoo.to_pettingzoo(game, "rgb_array")


# --- from PettingZoo


@pytest.mark.parametrize("name, game", [("connect_four", lines.connect4()), ("tictactoe", lines.tictactoe())])
def test_from_pettingzoo_plays_as_ours(name, game):
    pytest.importorskip("pygame")
    theirs = pettingzoo.from_pettingzoo(pytest.importorskip(f"pettingzoo.classic.{name}.{name}").env())
    assert theirs.shape == (2, *game.shape[1:]) and theirs.actions == game.actions
    played = list(random_games(game, 5, seed=8))
    other = {(): theirs.init()}
    for actions, _ in played:
        if actions:
            other[tuple(actions)] = theirs.play(other[tuple(actions[:-1])], actions[-1])
    for i in np.random.default_rng(9).permutation(len(played)):  # in any order
        actions, state = played[i]
        same_position(game, state, theirs, other[tuple(actions)], shared=2)
    assert theirs.render(other[tuple(played[2][0])]).endswith(f"after the moves: {' '.join(map(str, played[2][0]))}")


class Pick(zoo.AECEnv):
    """Say a number in turn, two each, and the first agent wins; what is odd about it, a test chooses."""

    def __init__(self, agents=2, sizes=(3, 3), mask=True, dice=False, rewards=(1, -1), together=False, ends=4):
        self.metadata = {"name": "pick_v0", "is_parallelizable": together}
        self.possible_agents = [f"player_{i}" for i in range(agents)]
        self.sizes, self.mask, self.dice, self.final, self.ends = sizes, mask, dice, rewards, ends

    def action_space(self, agent):
        return spaces.Discrete(self.sizes[self.possible_agents.index(agent)])

    def reset(self, seed=None, options=None):
        self.random, self.agents, self.moves = np.random.default_rng(seed), self.possible_agents[:], []
        self.rewards, self.agent_selection = dict.fromkeys(self.agents, 0), self.agents[0]
        self.terminations, self.truncations = dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, False)
        self.infos = {agent: {"action_mask": np.ones(3, np.int8)} if self.mask else {} for agent in self.agents}

    def observe(self, agent):
        return np.array(self.moves[-1:] + [0])[:1]

    def step(self, action):
        self.moves.append(self.random.random() if self.dice and len(self.moves) == 2 else action)
        self.agent_selection = self.agents[len(self.moves) % 2]
        if len(self.moves) == self.ends:
            self.terminations = dict.fromkeys(self.agents, True)
            self.rewards = dict(zip(self.agents, self.final, strict=True))


def test_a_plain_observation_and_a_mask_in_the_infos_do():
    game = pettingzoo.from_pettingzoo(Pick(), longest=4)
    state = game.play(game.init(), 2)
    assert (game.shape, game.state_size) == ((2, 1, 1), 5) and game.encode(state).ravel().tolist() == [2, 1]
    assert game.outcome(state) == (False, 0) and game.outcome(game.play(state, 0, 1, 2)) == (True, 1)
    with pytest.raises(GameError, match="^this game of pick_v0 takes more than 3 moves$"):
        short = pettingzoo.from_pettingzoo(Pick(), longest=3)
        short.play(short.init(), 0, 0, 0, 0)


def test_a_game_without_end_is_met_with_its_longest():
    game = pettingzoo.from_pettingzoo(Pick(ends=None), longest=20)
    with pytest.raises(GameError, match="^this game of pick_v0 takes more than 20 moves$"):
        game.play(game.init(), *[0] * 21)


@pytest.mark.parametrize(
    "odd, sentence",
    [
        ({"agents": 3}, "pick_v0 has 3 agents" + RULE),
        ({"together": True}, "pick_v0 has simultaneous moves" + RULE),
        ({"dice": True}, "pick_v0 has chance (the same moves under two seeds led to different positions)" + RULE),
        ({"sizes": (3, 4)}, "pick_v0 has actions Discrete(3) and Discrete(4); a game here has the same Discrete ones"),
        ({"mask": False}, "pick_v0 has no action_mask, neither in its observations nor in its infos"),
        ({"rewards": (1, 0)}, "pick_v0 ended with the rewards [1.0, 0.0]; here, what one wins the other loses, and"),
        ({"rewards": (2, -2)}, "pick_v0 ended with the rewards [2.0, -2.0]; here, what one wins the other loses, and"),
    ],
)
def test_from_pettingzoo_says_what_it_cannot_take(odd, sentence):
    with pytest.raises(GameError) as error:
        pettingzoo.from_pettingzoo(Pick(**odd))
    assert str(error.value).startswith(sentence)


def test_from_pettingzoo_takes_environments_only():
    with pytest.raises(GameError, match="^from_pettingzoo takes an AECEnv, not str$"):
        pettingzoo.from_pettingzoo("connect_four_v3")


@pytest.mark.parametrize(
    "make, argument, module, name",
    [
        (openspiel.to_openspiel, lines.tictactoe(), "pyspiel", "OpenSpiel"),
        (openspiel.from_openspiel, "nim", "pyspiel", "OpenSpiel"),
        (pettingzoo.to_pettingzoo, lines.tictactoe(), "pettingzoo", "PettingZoo"),
        (pettingzoo.from_pettingzoo, None, "pettingzoo", "PettingZoo"),
    ],
)
def test_a_library_that_is_missing_is_named(make, argument, module, name, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(GameError) as error:
        make(argument)
    package = {"OpenSpiel": "open_spiel", "PettingZoo": "pettingzoo"}[name]
    assert str(error.value) == f"{name} is not installed; install it with: pip install {package}"
