"""Games to and from PettingZoo (Terry et al. 2021): its tools on our games, our search and networks on its."""

from __future__ import annotations

import numpy as np

from zoolib.games.adapters import Seen, by_history, library, random_game, refuse
from zoolib.games.game import Game, GameError


def to_pettingzoo(game: Game, render_mode: str | None = None):
    """One of our games as PettingZoo's AECEnv, of agents player_0, who begins, and player_1.

    An observation is {"observation": float32 [H, W, C], "action_mask": int8 [actions]}, as in PettingZoo's classic
    games: `encode` with its planes last.  The agent that waits gets the same planes, which are those of the one to
    move, and a mask of zeros.  Rewards come at the end: the outcome to each, such as 1 and -1.  render_mode: "ansi"
    (render returns text) or "human" (render prints it).

    An illegal action raises GameError, which names it.  PettingZoo's convention is that it loses the game: wrap the
    environment in pettingzoo.utils.wrappers.TerminateIllegalWrapper(env, illegal_reward=-1) to have that.
    Raises GameError where PettingZoo is not installed, and for another render_mode.
    """
    zoo = library("pettingzoo", "PettingZoo", "pettingzoo")
    wrappers = library("pettingzoo.utils.wrappers", "PettingZoo", "pettingzoo")
    spaces = library("gymnasium.spaces", "Gymnasium", "gymnasium")
    modes = ["human", "ansi"]
    if render_mode not in [None, *modes]:
        raise GameError(f"render_mode is one of {', '.join(modes)}, or None, not {render_mode!r}")
    agents, (channels, height, width) = ["player_0", "player_1"], game.shape

    class Env(zoo.AECEnv):
        metadata = {"name": f"{game.name}_v0", "render_modes": modes, "is_parallelizable": False, "render_fps": 1}

        def __init__(self):
            self.possible_agents, self.render_mode = agents[:], render_mode
            planes = (height, width, channels)
            self.observation_spaces = {
                agent: spaces.Dict(
                    observation=spaces.Box(-np.inf, np.inf, planes, np.float32),
                    action_mask=spaces.Box(0, 1, (game.actions,), np.int8),
                )
                for agent in agents
            }
            self.action_spaces = {agent: spaces.Discrete(game.actions) for agent in agents}

        def observation_space(self, agent):
            return self.observation_spaces[agent]

        def action_space(self, agent):
            return self.action_spaces[agent]

        def reset(self, seed=None, options=None):
            self.board, self.agents = game.init(), agents[:]
            self.rewards, self._cumulative_rewards = dict.fromkeys(agents, 0.0), dict.fromkeys(agents, 0.0)
            self.terminations, self.truncations = dict.fromkeys(agents, False), dict.fromkeys(agents, False)
            self.infos = {agent: {} for agent in agents}
            self.agent_selection = agents[game.to_play(self.board)]

        def observe(self, agent):
            mask = game.legal(self.board) if agent == self.agent_selection else np.zeros(game.actions)
            planes = np.ascontiguousarray(game.encode(self.board).transpose(1, 2, 0))
            return {"observation": planes, "action_mask": mask.astype(np.int8)}

        def step(self, action):
            if self.terminations[self.agent_selection] or self.truncations[self.agent_selection]:
                return self._was_dead_step(action)
            self.board = game.play(self.board, action)
            over, value = game.outcome(self.board)
            player = game.to_play(self.board)
            self.agent_selection = agents[player]
            if over:
                self.rewards = {agents[player]: value, agents[1 - player]: -value}
                self.terminations = dict.fromkeys(agents, True)
                self._accumulate_rewards()
            if self.render_mode == "human":
                self.render()

        def render(self):
            text = game.render(self.board)
            return print(text) if self.render_mode == "human" else text

    return wrappers.OrderEnforcingWrapper(Env())


def from_pettingzoo(env, longest: int = 512) -> Game:
    """A game of PettingZoo's, given as an AECEnv for two, such as its Connect Four; it must not be used elsewhere.

    Actions are the same numbers; the mask of legal ones stands in the observation or in the infos.  The planes are what
    the agent to move observes: [H, W, C], as PettingZoo's classic games have it, becomes [C, H, W], anything else
    [C, 1, 1], and one more as `by_history` says.  longest: no game takes more moves; a step beyond raises GameError.

    An environment does not say whether it hides something or draws lots.  So a random game is played twice under two
    seeds, which finds cards that are dealt and dice that are thrown; that the player to move sees everything is yours
    to know.  Raises GameError where PettingZoo is not installed; for what is no AECEnv; for chance found in this way,
    moves at the same time, other than two agents or actions that are not the same Discrete for both; where there is
    no mask; and at the end of a game whose rewards do not sum to zero or go beyond 1.
    """
    zoo = library("pettingzoo", "PettingZoo", "pettingzoo")
    if not isinstance(env, zoo.AECEnv):
        raise GameError(f"from_pettingzoo takes an AECEnv, not {type(env).__name__}")
    name = str(env.unwrapped)
    agents = list(env.possible_agents)
    refuse(
        name,
        {
            f"{len(agents)} agents": len(agents) != 2,
            "simultaneous moves": bool(env.metadata.get("is_parallelizable")),
        },
    )
    space, other = map(env.action_space, agents)
    if space != other or getattr(space, "start", None) != 0:
        raise GameError(f"{name} has actions {space} and {other}; a game here has the same Discrete ones for both")

    class Walker:
        seed = 0

        def restart(self):
            env.reset(seed=self.seed)
            self.moves, self.mover, self.total = [], 0, np.zeros(2)

        def forward(self, action):
            self.mover = agents.index(env.agent_selection)
            env.step(action)
            self.moves.append(action)
            self.total += [env.rewards[agent] for agent in agents]

        def look(self):
            over = any(env.terminations.values()) or any(env.truncations.values())
            player = 1 - self.mover if over else agents.index(env.agent_selection)
            if over and (abs(self.total.sum()) > 1e-6 or abs(self.total[0]) > 1):
                raise GameError(
                    f"{name} ended with the rewards {self.total.tolist()}; here, what one wins the other loses, and it "
                    "is 1 at most"
                )
            legal, views = np.zeros(space.n, np.bool_), []
            for agent in agents:
                view = env.observe(agent)
                mask = env.infos[agent].get("action_mask")
                if isinstance(view, dict):
                    view, mask = view["observation"], view.get("action_mask", mask)
                if agent == agents[player] and not over:
                    if mask is None:
                        raise GameError(f"{name} has no action_mask, neither in its observations nor in its infos")
                    legal = np.asarray(mask, np.bool_)
                view = np.asarray(view, np.float32)
                views.append(view.transpose(2, 0, 1) if view.ndim == 3 else view.reshape(-1, 1, 1))
            return Seen(player, over, float(self.total[player]), legal, np.stack(views))

        def text(self):
            if getattr(env, "render_mode", None) == "ansi":
                return env.render()
            return f"{name} after the moves: {' '.join(map(str, self.moves)) or 'none'}"

    walker, other_seed = Walker(), Walker()
    other_seed.seed = 1
    for one, two in zip(random_game(walker, longest), random_game(other_seed, longest), strict=False):
        same = one[:3] == two[:3] and np.array_equal(one.legal, two.legal) and np.array_equal(one.views, two.views)
        refuse(name, {"chance (the same moves under two seeds led to different positions)": not same})
    return by_history(name, int(space.n), longest, walker)
