"""What every game obeys, tried out on random games: run it on a game of your own before you train anything on it."""

from __future__ import annotations

import numpy as np

from zoolib.games.game import Game, GameError


def check(game: Game, games: int = 100, seed: int = 0) -> dict[str, float]:
    """Play random games, ask of every position whether it obeys the laws below, and return what the games were like:
    `length` and `choices` (the mean number of moves, and of legal ones in a position), `first`, `draws` and `last`
    (the shares of games won by who began, by nobody, and by who made the last move).

    Raises GameError with the law that is broken, and the moves that led there.
    """
    cells = game.shape[1] * game.shape[2]
    for places, actions in zip(*(game.symmetries or ((), ())), strict=True):
        if sorted(places) != [*range(cells)] or sorted(actions) != [*range(game.actions)]:
            raise GameError(
                f"a symmetry must give each of the {cells} cells and of the {game.actions} actions a place; "
                "has an action without a cell, such as a pass, been left out?"
            )
    rng, seen, symmetries = np.random.default_rng(seed), {}, _symmetries(game)
    lengths, choices, winners, last = [], [], [], []
    for _ in range(games):
        state, moves = game.init(), []
        twins = [game.init() for _ in symmetries]  # the same game, turned and mirrored
        while True:
            try:
                mask = _position(game, state, len(moves), seen)
                _views(game, state, mask, symmetries, twins)
                over, value = game.outcome(state)
                if over and not moves:
                    raise GameError("the game is over before it begins")
                if over:
                    break
                action, mover = int(rng.choice(np.flatnonzero(mask))), game.to_play(state)
                moves.append(action)
                state = _step(game, state, action)
            except GameError as error:
                line = " ".join(game.move_name(a) for a in moves) or "none, this is how it begins"
                raise GameError(f"{error} (moves: {line})") from None
            choices.append(int(mask.sum()))
            for (_, back), twin in zip(symmetries, twins, strict=True):
                game.fast.step(twin, int(back[action]))
        won = value if game.to_play(state) == 0 else -value
        lengths.append(len(moves))
        winners.append(won)
        last.append(won == (1 if mover == 0 else -1))
    return {
        "length": float(np.mean(lengths)),
        "choices": float(np.mean(choices)),
        "first": float(np.mean(np.array(winners) == 1)),
        "draws": float(np.mean(np.array(winners) == 0)),
        "last": float(np.mean(last)),
    }


def _symmetries(game: Game) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each symmetry: where a cell's content came from [H·W], and what becomes of an action [A]."""
    both = game.symmetries or ((), ())
    return [(cells, np.argsort(actions)) for cells, actions in zip(*both, strict=True)]


def _position(game: Game, state: np.ndarray, moves: int, seen: dict) -> np.ndarray:
    """The laws of one position; returns its legal actions."""
    written = _as_written(game, state)  # before anything compiled, which does not check its indices
    before, mask, planes = state.copy(), game.legal(state), game.encode(state)
    used = np.ones_like(mask)  # a search hands over the mask of the position before
    game.fast.legal(state, used)
    if (used != mask).any():
        raise GameError("legal must write every entry of its mask, also where an action is not legal")
    over, value = game.outcome(state)
    player = game.to_play(state)
    if (state != before).any():
        raise GameError("legal, encode, outcome and to_play only look: one of them has changed the state")
    if player not in (0, 1):
        raise GameError(f"to_play must say 0 or 1, not {player}")
    if over and mask.any():
        raise GameError(f"the game is over, and legal still allows {game.names(mask)}")
    if not over and not mask.any():
        raise GameError("the game goes on, and legal allows no action: let the player pass, or let outcome end it")
    if over and not -1 <= value <= 1:
        raise GameError(f"outcome must lie in [-1, 1], not {value:g}")
    if not over and moves >= game.longest:
        raise GameError(f"the game goes on after {moves} moves, more than `longest` says")
    if not np.isfinite(planes).all():
        raise GameError("encode puts numbers into the planes that are not finite")
    for name, compiled in {"legal": mask, "encode": planes, "outcome": over, "to_play": player}.items():
        if np.any(written[name] != compiled):
            raise GameError(f"{name} does one thing in Python and another compiled")
    other = seen.setdefault(planes.tobytes(), mask)
    if not over and (other != mask).any():
        raise GameError(
            "the network cannot tell two positions apart in which different actions are legal, here "
            f"{game.names(mask)}, there {game.names(other)}: encode must show what legal goes by"
        )
    if over:
        del seen[planes.tobytes()]
    return mask


def _plainly(game: Game, name: str, *given):
    """What a rule returns as Python runs it, which misses no index."""
    try:
        with np.errstate(over="ignore"):  # hashes wrap around
            return getattr(game.plain, name)(*given)
    except IndexError as error:
        raise GameError(f"{name}: {error}; are state_size, actions or shape too small?") from None


def _as_written(game: Game, state: np.ndarray) -> dict:
    """What the rules say of a position as Python, the name of each to what it says."""
    state, mask, planes = state.copy(), np.zeros(game.actions, np.bool_), np.zeros(game.shape, np.float32)
    _plainly(game, "legal", state, mask)
    _plainly(game, "encode", state, planes)
    ended = _plainly(game, "outcome", state)
    if not isinstance(ended, tuple) or len(ended) != 2:
        raise GameError(f"outcome must return two things, whether the game is over and its value, not {ended!r}")
    return {"legal": mask, "encode": planes, "outcome": ended[0], "to_play": _plainly(game, "to_play", state)}


def _step(game: Game, state: np.ndarray, action: int) -> np.ndarray:
    """The state after an action, the same in Python and compiled."""
    after = state.copy()
    _plainly(game, "step", after, action)
    if game.compiled is not None:
        compiled = state.copy()
        game.fast.step(compiled, action)
        if (compiled != after).any():
            raise GameError("step does one thing in Python and another compiled")
    return after


def _views(game: Game, state: np.ndarray, mask: np.ndarray, symmetries: list, twins: list[np.ndarray]) -> None:
    """A game that is played in a mirror must look as its mirror image does."""
    planes = game.encode(state).reshape(game.shape[0], -1)
    for s, ((cells, back), twin) in enumerate(zip(symmetries, twins, strict=True)):
        mirrored = np.zeros_like(mask)
        mirrored[back] = mask
        alike = (game.encode(twin).reshape(planes.shape) == planes[:, cells]).all()
        (over, value), (ours, worth) = game.outcome(twin), game.outcome(state)
        if not alike or (game.legal(twin) != mirrored).any() or over != ours or (over and value != worth):
            raise GameError(f"symmetry {s} is none: with the moves that it makes of these, the game is another one")
