"""A board to play on in a notebook: clicks go to Python, which plays, lets the agent answer, and draws what is there.

The widget needs anywidget; a page without Python shows its still.
"""

import functools
import html
import importlib

import numpy as np

from zoolib.teach import board


class Match:
    """A game between a reader and a player: what each click does, and what there is to see.  No widget is in it."""

    def __init__(self, game, player, begin="you", seed=0, show_search=True):
        if begin not in ("you", "agent"):
            raise ValueError(f'begin is "you" or "agent", not {begin!r}')
        self.game, self.player, self.seed, self.show_search = game, player, seed, show_search
        self.you = 0 if begin == "you" else 1
        self.tell = lambda: None  # called whenever there is something new to see
        self.version = self.games = 0
        self._start()

    def _start(self):
        self.games += 1
        self.past, self.states, self.busy, self.resigned = [], [self.game.init()], False, False
        self._say("")

    def _say(self, said, search=None):
        self.said, self.search = said, search

    @property
    def over(self):
        return self.resigned or self.game.outcome(self.states[-1])[0]

    @property
    def your_turn(self):
        return not self.over and self.game.to_play(self.states[-1]) == self.you

    def do(self, what, action=None):
        """what: "play" an action, "new", "undo" or "swap".  What cannot be changes nothing, and `status` says so."""
        game, state = self.game, self.states[-1]
        if what == "new":
            self._start()
        elif what == "swap":
            self.you = 1 - self.you
            self._say("You have changed sides.", self.search)
        elif self.over:
            self._say("The game is over: start a new one.", self.search)
        elif what == "undo":
            mine = [i for i, s in enumerate(self.states[:-1]) if game.to_play(s) == self.you]
            if mine:
                self.past, self.states = self.past[: mine[-1]], self.states[: mine[-1] + 1]
            self._say("Taken back." if mine else "There is nothing to take back.")
        elif not self.your_turn:
            self._say("It is the agent's turn.")
        elif action not in range(game.actions) or not game.legal(state)[action]:
            name = board.Layout(game, state).name(action) if action in range(game.actions) else action
            self._say(f"You cannot play {name} here.", self.search)
        else:
            self._play(action)
            self._answer()
        if what in ("new", "swap"):
            self._answer()
        self._changed()

    def _play(self, action):
        self.states.append(self.game.play(self.states[-1], action))  # raises before anything has changed
        self.past.append(action)
        self._say("")

    def _changed(self):
        self.version += 1
        self.tell()

    def _answer(self):
        """Let the agent move while it is its turn."""
        while not self.over and not self.your_turn:
            state, game = self.states[-1], self.game
            self.busy = True
            self._changed()
            try:
                rng = np.random.default_rng([self.seed, self.games, len(self.past)])
                seeds = rng.integers(2**64, size=1, dtype=np.uint64)
                action = int(self.player.choose(state[None].copy(), seeds, [list(self.past)])[0])
                search = self._searched(state)
                if action == -1:
                    self.resigned = True
                    self._say("The agent resigns.", search)
                else:
                    self._play(action)
                    name = board.Layout(game, state).name(action)
                    self._say("The agent passes." if name == "pass" else f"The agent plays {name}.", search)
            except (Exception, KeyboardInterrupt) as error:  # whatever it is, the board lives on
                said = " ".join(str(error).split())[:200]
                self._say(f"The agent failed: {type(error).__name__}{': ' * bool(said)}{said}")
                break
            finally:
                self.busy = False

    def _searched(self, state):
        """What the player's search saw: visits [actions], value to who began, a sentence; None where it has none."""
        seen = getattr(self.player, "analysis", list)()
        if not seen:
            return None
        drawn = board.analysed(self.game, seen)
        line = " ".join(board.Layout(self.game, state).name(a).removeprefix("column ") for a in seen[0][4][:8])
        said = f"{self.player.name}: {drawn['visits'].sum():,.0f} visits before its move; it expects {line}."
        return drawn["visits"], drawn["value"] * (1 - 2 * self.game.to_play(state)), said

    def status(self):
        """What has happened and whose turn it is, in words."""
        game, state = self.game, self.states[-1]
        if self.busy:
            return "The agent is thinking."
        if self.over:
            _, value = game.outcome(state)
            yours = 1 if self.resigned else value if game.to_play(state) == self.you else -value
            turn = "You win." if yours > 0 else "The agent wins." if yours < 0 else "A draw."
        elif self.your_turn:
            turn = f"Your move: you are {board.Layout(game, state).sides[self.you]}."
        else:
            turn = "Take your move back, or start a new game."
        return f"{self.said} {turn}".strip()

    def view(self):
        """What the browser shows: svg, status, search, busy, version, columns, buttons [[name, action, enabled]]."""
        game, state, visits, value, search = self.game, self.states[-1], None, None, ""
        at, legal = board.Layout(game, state), game.legal(state)
        if self.search and self.show_search:
            visits, value, search = self.search
            value *= 1 - 2 * game.to_play(state)
        last = self.past[-1] if self.past else None
        drawn = board.svg(game, state, visits=visits, value=value, last=last, _over=_targets(at))
        reach = game.actions if at.by_column else len(at.cells) if at.by_cell else 0
        moves = [a for a in range(reach, game.actions) if at.by_cell or legal[a]]
        buttons = [[at.name(a).capitalize(), a, bool(legal[a])] for a in moves]
        seen = {"svg": drawn, "status": self.status(), "search": search, "busy": self.busy, "version": self.version}
        return {**seen, "columns": at.width, "buttons": buttons}


def _targets(at):
    """What can be clicked, each with a name: the columns, or the cells."""
    made, half = [], at.cell / 2
    for i in range(at.width if at.by_column else len(at.cells) if at.by_cell else 0):
        (x, y), held = at.centre(i), at.cells[i]
        high = at.high - 2 * at.pad if at.by_column else at.cell
        state = "empty" if held == 0 else at.sides[held - 1] if held in (1, 2) else held
        state = f"{at.cells[i :: at.width].count(0)} free" if at.by_column else state
        more = f'role="button" tabindex="-1" data-action="{i}" aria-label="{html.escape(f"{at.name(i)}, {state}")}"'
        made.append(board.rect(x - half, y - half, at.cell, high, "transparent", f'class="zoo-cell" {more}'))
    return "".join(made)


# Python draws; the browser shows what it drew and says what was clicked.
_ESM = """
function render({ model, el }) {
  el.classList.add("zoo-play");
  el.innerHTML = '<div></div><p role="status" aria-live="polite"></p><p></p><div></div>';
  const [table, status, search, bar] = el.children;
  let at = 0;  // the cell that the Tab key reaches
  const cells = () => [...table.querySelectorAll(".zoo-cell")];
  const send = (what, action) => {
    const view = model.get("view");
    if (!view.busy) model.send({ what, action, version: view.version });
  };
  const button = (name, what, action, on) => {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: name, disabled: !on });
    made.addEventListener("click", () => send(what, action));
    return made;
  };
  const own = [["New game", "new"], ["Undo", "undo"], ["Swap sides", "swap"]];
  bar.append(document.createElement("span"), ...own.map(([name, what]) => button(name, what, null, true)));
  function reach(i, focus) {
    const all = cells();
    if (!all[i]) return;
    all[at]?.setAttribute("tabindex", "-1");
    all[at = i].setAttribute("tabindex", "0");
    if (focus) all[i].focus();
  }
  function draw() {
    const view = model.get("view"), held = table.contains(el.getRootNode().activeElement);
    table.innerHTML = view.svg;
    status.textContent = view.status;
    search.textContent = view.search;
    el.setAttribute("aria-busy", view.busy);
    bar.firstChild.replaceChildren(...view.buttons.map(([name, action, on]) => button(name, "play", action, on)));
    reach(at, held);
  }
  table.addEventListener("click", (event) => {
    const i = cells().indexOf(event.target);
    if (i < 0) return;
    reach(i, true);
    send("play", Number(event.target.dataset.action));
  });
  table.addEventListener("keydown", (event) => {
    const wide = model.get("view").columns, i = cells().indexOf(event.target);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide }[event.key];
    if (i < 0 || !(step || event.key === "Enter" || event.key === " ")) return;
    event.preventDefault();
    event.stopPropagation();  // or Jupyter takes the key
    if (!step) send("play", Number(event.target.dataset.action));
    else if (Math.abs(step) > 1 || Math.floor(i / wide) === Math.floor((i + step) / wide)) reach(i + step, true);
  });
  model.on("change:view", draw);
  draw();
  return () => model.off("change:view", draw);
}
export default { render };
"""
_CSS = """
.zoo-play { font: 15px/1.4 var(--zoo-sans, system-ui, sans-serif); max-width: 600px; padding: 4px; }
.zoo-play p { margin: .5em 0; min-height: 1.4em; }
.zoo-play p[role="status"] { font-weight: 700; }
.zoo-play button { font: inherit; color: inherit; background: none; border: 1px solid currentColor; border-radius: 6px;
  padding: .35em .8em; margin: 0 .5em .5em 0; cursor: pointer; }
.zoo-play button:disabled { opacity: .45; cursor: default; }
.zoo-play .zoo-cell { cursor: pointer; outline: none; }
.zoo-play .zoo-cell:hover { fill: #ffffff; fill-opacity: .22; }
.zoo-play .zoo-cell:focus-visible { stroke: #d55e00; stroke-width: 3; outline: 2px solid #ffffff; }
.zoo-play[aria-busy="true"], .zoo-play[aria-busy="true"] * { cursor: progress; }
"""


@functools.cache
def _widget():
    """The widget's class, made when it is first needed: anywidget is not part of every installation."""
    try:
        anywidget, traitlets = map(importlib.import_module, ("anywidget", "traitlets"))
    except ImportError:
        raise ImportError("the board to play on needs anywidget; install it with: pip install anywidget") from None

    class Board(anywidget.AnyWidget):
        _esm, _css = _ESM, _CSS
        view = traitlets.Dict().tag(sync=True)

        def __init__(self, match):
            super().__init__(view=match.view())
            self.match = match
            match.tell = self._tell
            self.on_msg(self._hear)
            match.do("new")  # the agent moves where it begins

        def _tell(self):
            self.view = self.match.view()

        def _hear(self, _, message, buffers=None):
            if message.get("version") == self.match.version:  # a click on what is still there
                self.match.do(message.get("what"), message.get("action"))

        def _repr_mimebundle_(self, **kwargs):
            data, metadata = super()._repr_mimebundle_(**kwargs)
            game, moves = self.match.game, len(self.match.past)
            still = board.svg(game, self.match.states[-1], alt=f"The board of {game.name} after {moves} moves.")
            data["text/html"] = board.figure(
                still, "Where Python runs, in Jupyter or on Colab, you play on this board."
            )
            data["text/plain"] = f"A board to play {game.name} against {self.match.player.name}"
            return data, metadata

    return Board


def against(game, player, *, begin="you", seed=0, show_search=True):
    """A board to play on against `player`, as the last line of a cell; the page, where no Python runs, shows it still.

    player: has a name and choose(states [1, S], seeds uint64 [1], past [moves]) -> [1], -1 to resign; and may have
    analysis() -> [(action, visits, value to the player to move, prior, line)], best first, of its latest search.
    begin: "you" or "agent".  seed: of the player's choices.  show_search: show the visits and value of its search.
    Raises ValueError for another `begin`, ImportError where anywidget is missing.
    """
    return _widget()(Match(game, player, begin, seed, show_search))
