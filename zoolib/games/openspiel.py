"""Games to and from OpenSpiel (Lanctot et al. 2019): its algorithms on our games, our search and networks on its."""

from __future__ import annotations

import difflib
import hashlib
import re

import numpy as np

from zoolib.games.adapters import Seen, by_history, library, refuse
from zoolib.games.game import Game, GameError


def to_openspiel(game: Game):
    """One of our games as a pyspiel.Game, for OpenSpiel's own algorithms.

    It is registered by its name and options, such as zoolib_connect4_6_7_4, for pyspiel.load_game; made again, it
    takes the place of the one before.  Actions are the same numbers.  The observation tensor is `encode`, [C, H, W]:
    what the player to move sees, whoever asks.  Raises GameError where OpenSpiel is not installed, and so does playing
    an illegal action.
    """
    spiel = library("pyspiel", "OpenSpiel", "open_spiel")
    observation = library("open_spiel.python.observation", "OpenSpiel", "open_spiel")
    kinds = spiel.GameType
    name = "_".join(["zoolib", game.name, *map(str, game.options.values())])
    about = kinds(
        short_name=re.sub(r"\W+", "_", name).strip("_"),
        long_name=game.name,
        dynamics=kinds.Dynamics.SEQUENTIAL,
        chance_mode=kinds.ChanceMode.DETERMINISTIC,
        information=kinds.Information.PERFECT_INFORMATION,
        utility=kinds.Utility.ZERO_SUM,
        reward_model=kinds.RewardModel.TERMINAL,
        max_num_players=2,
        min_num_players=2,
        provides_information_state_string=True,
        provides_information_state_tensor=False,
        provides_observation_string=True,
        provides_observation_tensor=True,
        parameter_specification={},
    )
    sizes = spiel.GameInfo(
        num_distinct_actions=game.actions,
        max_chance_outcomes=0,
        num_players=2,
        min_utility=-1.0,
        max_utility=1.0,
        utility_sum=0.0,
        max_game_length=game.longest,
    )

    class State(spiel.State):  # `game` is no attribute of it, because OpenSpiel copies a state by a deep copy of these
        def __init__(self, theirs):
            super().__init__(theirs)
            self.array = game.init()

        def current_player(self):
            return spiel.PlayerId.TERMINAL if self.is_terminal() else game.to_play(self.array)

        def is_terminal(self):
            return game.outcome(self.array)[0]

        def returns(self):
            over, value = game.outcome(self.array)
            first = (value if game.to_play(self.array) == 0 else -value) if over else 0.0
            return [first, -first]

        def _legal_actions(self, player):
            return np.flatnonzero(game.legal(self.array)).tolist()

        def _apply_action(self, action):
            self.array = game.play(self.array, action)

        def _action_to_string(self, player, action):
            return game.move_name(action)

        def __str__(self):  # OpenSpiel holds states of the same text for one, and the history counts in Go
            digest = hashlib.blake2b(self.array.tobytes(), digest_size=8).hexdigest()
            return f"{game.render(self.array)}\nstate {digest}"

    class Observer:
        def __init__(self, params):
            if params:
                raise GameError(f"observations of {game.name} take no parameters, not {params}")
            self.tensor = np.zeros(int(np.prod(game.shape)), np.float32)
            self.dict = {"observation": self.tensor.reshape(game.shape)}

        def set_from(self, state, player):
            self.dict["observation"][:] = game.encode(state.array)

        def string_from(self, state, player):
            return str(state)

    class Adapted(spiel.Game):
        def __init__(self, params=None):
            super().__init__(about, sizes, params or {})

        def new_initial_state(self):
            return State(self)

        def make_py_observer(self, iig_obs_type=None, params=None):
            if iig_obs_type is None or (iig_obs_type.public_info and not iig_obs_type.perfect_recall):
                return Observer(params)
            return observation.IIGObserverForPublicInfoGame(iig_obs_type, params)

    spiel.register_game(about, Adapted)
    return Adapted()


def from_openspiel(game) -> Game:
    """A game of OpenSpiel's, given as a pyspiel.Game or as text, such as "breakthrough(rows=5,columns=5)".

    Actions are the same numbers; `render` says what they are called.  The planes are OpenSpiel's observation tensor for
    the player to move, [C, H, W] if it has three dimensions, else [C, 1, 1], and one more as `by_history` says.  The
    outcome is the return of the player to move, scaled into [-1, 1] where it goes beyond.

    Raises GameError where OpenSpiel is not installed or does not know the game, and for a game with chance, hidden
    information, simultaneous moves, other than two players, a sum that is not zero, or no observation tensor.
    """
    spiel = library("pyspiel", "OpenSpiel", "open_spiel")
    if isinstance(game, str):
        called, known = game.partition("(")[0], spiel.registered_names()
        if called not in known:  # asked first, because OpenSpiel prints all the names that it knows
            near = difflib.get_close_matches(called, known, n=1)
            raise GameError(f"OpenSpiel has no game {called!r}" + (f"; did you mean {near[0]}?" if near else ""))
        try:
            loaded = spiel.load_game(game)
            loaded.new_initial_state()  # some look at their parameters only here
        except spiel.SpielError as error:
            raise GameError(f"OpenSpiel cannot make {game!r}: {str(error).splitlines()[0]}") from None
        game = loaded
    about, name = game.get_type(), str(game).removesuffix("()")
    faults = {
        f"{game.num_players()} players": game.num_players() != 2,
        "chance": about.chance_mode != about.ChanceMode.DETERMINISTIC,
        "hidden information": about.information == about.Information.IMPERFECT_INFORMATION,
        "simultaneous moves": about.dynamics != about.Dynamics.SEQUENTIAL,
        "returns that do not sum to zero": about.utility != about.Utility.ZERO_SUM,
    }
    refuse(name, faults)
    if not about.provides_observation_tensor:
        raise GameError(f"{name} has no observation tensor in OpenSpiel, which a network would look at")
    actions, shape = game.num_distinct_actions(), game.observation_tensor_shape()
    shape = shape if len(shape) == 3 else (-1, 1, 1)
    scale = max(1.0, game.max_utility(), -game.min_utility())

    class Walker:
        def restart(self):
            self.state = game.new_initial_state()

        def forward(self, action):
            self.state.apply_action(action)

        def look(self):
            over = self.state.is_terminal()
            player = 1 - self.state.full_history()[-1].player if over else self.state.current_player()
            legal = np.zeros(actions, np.bool_)
            legal[self.state.legal_actions()] = True
            views = [np.float32(self.state.observation_tensor(p)).reshape(shape) for p in (0, 1)]
            return Seen(player, over, self.state.returns()[player] / scale, legal, np.stack(views))

        def text(self):
            moves = [f"{a}: {self.state.action_to_string(a)}" for a in self.state.legal_actions()]
            return "\n".join([str(self.state), "  ".join(moves)]).rstrip()

    return by_history(name, actions, game.max_game_length(), Walker())
