"""The fast search beside the one that is written to be read, and what a search must never do."""

import hashlib

import numpy as np
import pytest

from zoolib.games import go, lines, mcts, search
from zoolib.games.game import Game, GameError, Rules

GAMES = [lines.tictactoe(), lines.connect4(), lines.gomoku(7), go.go(5)]


def by_hash(planes):
    """Logits and values that look random and hang on the planes alone: batched networks round differently."""
    seeds = [int.from_bytes(hashlib.blake2b(p.tobytes(), digest_size=8).digest(), "little") for p in planes]
    drawn = [np.random.default_rng(seed).uniform(-1, 1, 400) for seed in seeds]
    return drawn


def evaluate_many(game):
    return lambda planes: (
        np.stack([2 * d[: game.actions] for d in by_hash(planes)]),
        np.array([d[-1] for d in by_hash(planes)]),
    )


def evaluate_one(game, state):
    logits, values = evaluate_many(game)(game.encode(state)[None])
    return logits[0], values[0]


def positions(game, n, seed, most=20):
    """n positions of random games that are not over."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < n:
        state = game.init()
        for _ in range(rng.integers(most)):
            after = game.play(state, int(rng.choice(np.flatnonzero(game.legal(state)))))
            if game.outcome(after)[0]:
                break
            state = after
        found.append(state)
    return np.stack(found)


@pytest.mark.parametrize("game", GAMES, ids=lambda game: game.name)
def test_both_searches_visit_the_same_on_a_thousand_positions(game):
    states = positions(game, 1_000, seed=1)
    many = search.Search(game, 1_000, 24)
    many.reset(states)
    many.run(24, evaluate_many(game))
    for state, visits in zip(states, many.visits(), strict=True):
        assert mcts.search(game, state, 24, evaluate_one).visits == visits.tolist()


def test_a_kept_subtree_is_what_a_search_from_there_would_start_with():
    game = lines.connect4()
    kept, plain = search.Search(game, 8, 60), search.Search(game, 8, 120)
    kept.run(60, evaluate_many(game))
    before = kept.visits()
    action = before.argmax(1)
    child = kept.trees.child[np.arange(8), 0, action]
    below = kept.trees.visits[np.arange(8), child].copy()
    kept.advance(action)
    assert (kept.visits() == below).all() and (below.sum(1) == before.max(1) - 1).all()
    for b in range(8):
        assert (kept.trees.root[b] == game.play(game.init(), int(action[b]))).all()
    more = 40
    kept.run(more, evaluate_many(game))
    plain.reset(kept.trees.root)
    plain.run(int(below[0].sum()) + more, evaluate_many(game))
    assert (kept.visits() == plain.visits()).all()  # the rule is deterministic, and so is the evaluation


def test_halving_over_a_kept_subtree_plays_what_it_has_not_dropped():
    game, rng = lines.connect4(), np.random.default_rng(4)
    many = search.Search(game, 32, 200)
    many.run(200, evaluate_many(game), rng.gumbel(size=(32, 7)))
    many.advance(many.best())
    before, noise = many.visits(), rng.gumbel(size=(32, 7))
    many.run(30, evaluate_many(game), noise)
    now = many.visits() - before
    chosen = many.best(noise)
    assert (now[np.arange(32), chosen] == now.max(1)).all()
    assert (many.visits().argmax(1) != chosen).any()  # those that led before are not what this search ended with


def test_a_full_tree_is_refused():
    many = search.Search(lines.connect4(), 2, 20, keep=False)
    many.run(20, evaluate_many(many.game))
    with pytest.raises(GameError, match="the trees are full"):
        many.run(20, evaluate_many(many.game))


def test_no_kept_tree_grows_beyond_its_room():
    game, rng = lines.tictactoe(), np.random.default_rng(0)
    many = search.Search(game, 16, 20)
    for _ in range(9):
        many.run(20, evaluate_many(game))
        assert (many.trees.size <= many.trees.child.shape[1]).all()
        over = many.look().over
        legal = np.stack([game.legal(state) for state in many.trees.root])
        many.advance(np.where(over, -1, [rng.choice(np.flatnonzero(m)) if m.any() else -1 for m in legal]))


@pytest.mark.parametrize("game", GAMES, ids=lambda game: game.name)
def test_sequential_halving_visits_legal_moves_only_and_as_planned(game):
    states = positions(game, 200, seed=2, most=60)
    many = search.Search(game, 200, 32)
    many.reset(states)
    noise = np.random.default_rng(3).gumbel(size=(200, game.actions))
    many.run(32, evaluate_many(game), noise, considered=8)
    legal = np.stack([game.legal(state) for state in states])
    visits = many.visits()
    assert (visits.sum(1) == 32).all() and not visits[~legal].any()
    assert ((visits > 0).sum(1) == np.minimum(legal.sum(1), 8)).all()
    policy, values = many.improved()
    assert np.allclose(policy.sum(1), 1) and not policy[~legal].any() and (np.abs(values) <= 1).all()
    assert legal[np.arange(200), many.best(noise)].all()


def test_the_improved_policy_is_better_than_the_one_it_was_given():
    """Danihelka et al. 2022, section 4: the expected value under π' is no less than under the prior."""
    game = lines.connect4()
    many = search.Search(game, 200, 7)
    many.reset(positions(game, 200, seed=4, most=6))
    many.run(7, evaluate_many(game), np.zeros((200, 7)), considered=7)
    t, (policy, _) = many.trees, many.improved()
    prior = t.prior[:, 0].clip(0)
    q = np.where(t.visits[:, 0] > 0, t.total[:, 0] / t.visits[:, 0].clip(1), 0)
    assert ((policy * q).sum(1) >= (prior * q).sum(1) - 1e-12).all()


def test_halving_spends_what_it_has():
    for considered in (1, 2, 3, 7, 16):
        for simulations in (1, 2, 16, 33, 200):
            plan = search.halving(considered, simulations)[considered]
            assert len(plan) == simulations and plan[0] == 0 and (np.diff(plan) >= 0).all() and plan[-1] <= simulations
    assert search.halving(4, 8)[4].tolist() == [0, 0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("game", GAMES, ids=lambda game: game.name)
def test_rollouts_are_random_games_from_their_seeds(game):
    one, other = search.Search(game, 4, 50, mcts.ucb), search.Search(game, 1, 50, mcts.ucb)
    seeds = np.array([5, 6, 7, 5], np.uint64)
    one.run(50, seeds.copy())
    other.run(50, seeds[2:3].copy())
    visits = one.visits()
    assert (visits[0] == visits[3]).all() and (visits[2] == other.visits()[0]).all()
    total = one.trees.total[:, 0]
    assert (total[0] == total[3]).all() and not (total[0] == total[1]).all() and (visits.sum(1) == 50).all()


def test_a_win_in_one_is_found():
    game = lines.connect4()
    state = game.play(game.init(), 0, 1, 0, 1, 0, 1)
    many = search.Search(game, 1, 200, mcts.ucb)
    many.reset(state[None])
    many.run(200, np.array([1], np.uint64))
    assert many.visits()[0].argmax() == 0


def plain(game):
    """The same game with rules that numba cannot compile."""

    def python(function):
        def call(*args):
            try:  # which numba does not know with a name
                return function(*args)
            except ZeroDivisionError as error:
                raise error

        return call

    rules = Rules(*(python(function) for function in game.rules))
    return Game("plain", game.actions, game.shape, game.state_size, rules, game.render)


def test_a_game_that_numba_cannot_compile_is_searched_all_the_same(capsys):
    game = lines.tictactoe()
    slow = plain(game)
    assert slow.compiled is None
    fast_trees, slow_trees = search.Search(game, 3, 30), search.Search(slow, 3, 30)
    for trees in (fast_trees, slow_trees):
        trees.run(30, evaluate_many(game))
    assert (fast_trees.visits() == slow_trees.visits()).all()
    assert "plain is searched in plain Python" in capsys.readouterr().err


def test_no_simulation_is_refused():
    with pytest.raises(GameError, match="at least 1 simulation, not 0"):
        search.Search(lines.tictactoe(), 1, 0)
    with pytest.raises(GameError, match="room for 4 simulations, not 5"):
        search.Search(lines.tictactoe(), 1, 4).run(5, evaluate_many(lines.tictactoe()))


@pytest.mark.parametrize("action", range(7))
def test_the_first_simulation_of_a_new_node_goes_where_the_prior_is_highest(action):
    """Before any visit all values are alike: without the node's own in PUCT's bonus, the first column would win."""
    game = lines.connect4()

    def evaluate(planes):
        return np.tile(2.0 * (np.arange(7) == action), (len(planes), 1)), np.zeros(len(planes))

    trees = search.Search(game, 1, 1)
    trees.run(1, evaluate)
    assert trees.visits()[0].tolist() == [int(a == action) for a in range(7)]
