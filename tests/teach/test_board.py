"""zoolib.teach.board: what is drawn, what a click does, and what the browser makes of it."""

import json
import re
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from zoolib.games import lines, players
from zoolib.games.game import Game, Rules
from zoolib.games.go import go
from zoolib.teach import board, play

XML = "{http://www.w3.org/2000/svg}"


class Scripted:
    """A player that plays what it is told; an exception in its script is raised."""

    name = "scripted"

    def __init__(self, *script, seen=()):
        self.script, self.seen, self.asked = list(script), list(seen), []

    def choose(self, states, seeds, past):
        assert states.dtype == np.int64 and seeds.dtype == np.uint64 and seeds.shape == (len(states),) == (1,)
        self.asked.append((int(seeds[0]), past[0]))
        action = self.script.pop(0)
        if isinstance(action, BaseException):
            raise action
        return np.array([action])

    def analysis(self):
        return self.seen


def parsed(text):
    return ElementTree.fromstring(text)


def texts(root):
    return [(text.text or "").replace("\N{NO-BREAK SPACE}", " ") for text in root.iter(f"{XML}text")]


def circles(root, **wanted):
    return [c for c in root.iter(f"{XML}circle") if all(c.get(key) == value for key, value in wanted.items())]


# ---------------------------------------------------------------------------------------------------------------------
# Stills


def test_connect_four_shows_discs_shares_and_value():
    game = lines.connect4()
    state = game.play(game.init(), 3, 3, 4)
    root = parsed(board.svg(game, state, visits=[0, 1, 1, 3, 93, 2, 0], value=-0.5, last=4, alt="<b>"))
    assert root.get("role") == "img" and root.get("aria-label") == "<b>"
    assert len(circles(root, fill="#e5533d")) == 2
    (yellow,), (ring,) = circles(root, fill="#ffd84d"), circles(root, stroke="#8a6500")  # which tells it in grey
    assert (yellow.get("cx"), yellow.get("cy")) == (ring.get("cx"), ring.get("cy"))
    said = texts(root)
    assert [t for t in said if t in ("93 %", "3 %", "2 %", "1 %", "0 %")] == ["93 %", "3 %", "2 %", "1 %", "1 %"]
    assert "Red 75 %" in said and set("1234567") <= set(said)  # Yellow is to move, and loses
    assert [t.get("font-weight") for t in root.iter(f"{XML}text") if t.text.startswith("93")] == ["700"]
    (last,) = circles(root, **{"class": "zoo-last"})
    assert (last.get("cx"), last.get("cy")) == ("187", "227")  # the stone on the ground of column 5


def test_go_shows_stones_ownership_stars_and_coordinates():
    game = go(9)
    state = game.play(game.init(), 40, 0, 81)
    ownership = np.zeros((9, 9))
    ownership[0, 0], ownership[8, 8] = -1, 0.5
    root = parsed(board.svg(game, state, visits=np.eye(82)[81], last=81, ownership=ownership, marks={8: "a & b"}))
    assert len(circles(root, fill="#1b1f24")) == len(circles(root, fill="#fbfaf7")) == 1
    assert len(circles(root, fill="#6b4f1d")) == 5
    said = texts(root)
    assert set("ABCDEFGHJ123456789") <= set(said) and "I" not in said and "a & b" in said
    assert "last move: pass, pass 100 %" in said
    squares = [r for r in root.iter(f"{XML}rect") if r.get("class") == "zoo-owner"]
    assert [r.get("fill") for r in squares] == ["#fbfaf7", "#1b1f24"]
    assert float(squares[0].get("width")) > float(squares[1].get("width"))


def test_a_searched_cell_of_a_small_board_has_its_share():
    game = lines.tictactoe()
    root = parsed(board.svg(game, game.play(game.init(), 4), visits=[1, 0, 0, 0, 0, 0, 0, 0, 3], value=0))
    assert sorted(texts(root)) == ["25 %", "75 %", "Even"]
    assert len(circles(root)) == 0 and len(list(root.iter(f"{XML}path"))) == 3  # the lines, an X, the middle of the bar


def test_the_move_that_is_played_leads_where_two_share_the_visits():
    game = lines.connect4()
    seen = [(4, 30, 0.5, 0.4, [4, 2]), (1, 30, 0.25, 0.6, [1]), (0, 4, -1.0, 0.1, [0])]
    drawn = board.analysed(game, seen)
    assert drawn["value"] == 0.5 and drawn["visits"].argmax() == 4 and drawn["visits"].round().sum() == 64
    bold = [t.text for t in parsed(board.svg(game, game.init(), **drawn)).iter(f"{XML}text") if t.get("font-weight")]
    assert bold == ["47\N{NO-BREAK SPACE}%", "Red 75\N{NO-BREAK SPACE}%"]
    assert board.analysed(game, players.Random(game).analysis()) == {}


@pytest.mark.parametrize("moves", [(0, 3, 1, 4, 2), (2, 0, 4, 1, 6), (0, 1, 3, 2, 6)])
def test_a_line_that_has_won_is_struck_through(moves):
    game = lines.tictactoe()
    assert 'class="zoo-line"' in board.svg(game, game.play(game.init(), *moves))
    assert 'class="zoo-line"' not in board.svg(game, game.play(game.init(), *moves[:-1]))


def own_game(actions):
    """A game of a reader's: 3 rows of 4, nothing but pieces 1, 2 and 5; an action has a name of its own."""

    def init(state):
        state[:] = [1, 2, 5] + [0] * 9 + [0]

    def step(state, action):
        state[12] += 1

    def legal(state, mask):
        mask[:3] = state[12] < 2

    def outcome(state):
        return state[12] >= 2, 0.0

    def to_play(state):
        return state[12] % 2

    game = Game("mine", actions, (1, 3, 4), 13, Rules(init, step, legal, outcome, to_play, lambda s, p: None), str)
    vars(game)["compiled"] = None  # numba would take seconds
    return game


def test_a_game_of_ones_own_is_a_grid_played_by_buttons():
    game = own_game(30)
    root = parsed(board.svg(game, game.init(), visits=np.arange(30), marks={11: "?"}))
    assert {"5", "?"} <= set(texts(root)) and len(circles(root)) == 1
    match = play.Match(game, Scripted(2))
    view = match.view()
    assert view["buttons"] == [["0", 0, True], ["1", 1, True], ["2", 2, True]] and "zoo-cell" not in view["svg"]
    match.do("play", 1)
    assert match.past == [1, 2] and match.status() == "The agent plays 2. A draw."


def test_what_does_not_fit_is_named():
    game = lines.connect4()
    with pytest.raises(ValueError, match=r"visits must be \[7\].*\[42\]"):
        board.svg(game, game.init(), visits=np.zeros(42))
    with pytest.raises(ValueError, match=r"ownership must be \[6, 7\].*\[42\]"):
        board.svg(game, game.init(), ownership=np.zeros(42))
    with pytest.raises(ValueError, match="connect4 has 5 numbers, too few for 42"):
        board.svg(game, np.zeros(5, np.int64))
    with pytest.raises(ValueError, match="begin"):
        play.Match(game, Scripted(), begin="me")


def test_figures_have_a_caption_and_alternative_text(shown):
    game = lines.tictactoe()
    states = [game.init(), game.play(game.init(), 4)]
    board.show(game, states[1], caption="a < b", alt='X in the "centre"', last=4)
    board.strip(game, states, ["before", "<after>"], "c", "two boards", each=[{}, {"marks": {0: "!"}}])
    one, two = map(parsed, shown)
    assert one.get("class") == "zoo-figure zoo-board" and one.find("figcaption").text == "a < b"
    assert one.find(f".//{XML}svg").get("aria-label") == 'X in the "centre"'
    assert [label.text for label in two.iter("div") if label.text] == ["before", "<after>"]
    assert two.find("div/div").get("aria-label") == "two boards"
    assert [svg.get("aria-hidden") for svg in two.iter(f"{XML}svg")] == ["true", "true"] and texts(two) == ["!"]


def test_figures_say_what_is_missing(shown):
    game = lines.tictactoe()
    with pytest.raises(ValueError, match="alt is empty"):
        board.show(game, game.init(), "c", " ")
    with pytest.raises(ValueError, match="alt is empty"):
        board.strip(game, [game.init()], ["a"], "c", "")
    with pytest.raises(ValueError, match="1 states, 2 labels"):
        board.strip(game, [game.init()], ["a", "b"], "c", "a")
    assert not shown


# ---------------------------------------------------------------------------------------------------------------------
# A match


def clicked(match, *actions):
    for action in actions:
        match.do("play", action)
    return match.status()


def test_the_reader_wins_and_the_end_is_final():
    match = play.Match(lines.tictactoe(), Scripted(0, 1, 8))
    assert match.status() == "Your move: you are X."
    assert clicked(match, 4) == "The agent plays A3. Your move: you are X."
    assert clicked(match, 2, 6) == "You win."
    for what, action in (("play", 8), ("undo", None)):
        match.do(what, action)
        assert match.past == [4, 0, 2, 1, 6] and match.status() == "The game is over: start a new one. You win."
    match.do("swap")
    assert match.past == [4, 0, 2, 1, 6] and match.status() == "You have changed sides. The agent wins."
    match.do("new")  # and the agent, now X, begins
    assert match.past == [8] and match.status() == "The agent plays C1. Your move: you are O."


def test_the_agent_wins_and_a_draw():
    game = lines.connect4()
    assert clicked(play.Match(game, Scripted(0, 0, 0, 0)), 1, 2, 3, 6) == "The agent plays column 1. The agent wins."
    match = play.Match(lines.tictactoe(), Scripted(0, 5, 6, 1))
    assert clicked(match, 4, 2, 3, 7, 8) == "A draw."


def test_an_illegal_click_changes_nothing():
    match = play.Match(lines.connect4(), Scripted(0, 0, 0, seen=[(0, 9, 0.1, 0.5, [0])]))
    clicked(match, 0, 0, 0)
    before, drawn = list(match.past), match.view()["svg"]
    for action, name in ((0, "column 1"), (9, "9"), (-1, "-1"), (None, "None"), ("x", "x")):
        assert clicked(match, action) == f"You cannot play {name} here. Your move: you are Red."
    assert match.past == before and match.view()["svg"] == drawn


def test_undo_goes_back_to_the_readers_last_choice():
    match = play.Match(lines.tictactoe(), Scripted(0, 1, 2, 3), begin="agent")
    match.do("new")
    assert match.past == [0]
    match.do("undo")
    assert match.past == [0] and match.status() == "There is nothing to take back. Your move: you are O."
    clicked(match, 4, 8)
    assert match.past == [0, 4, 1, 8, 2]  # the agent has its line
    match = play.Match(lines.tictactoe(), Scripted(0, 1))
    clicked(match, 4, 8)
    match.do("undo")
    assert match.past == [4, 0] and match.states[-1].tolist()[:9] == [2, 0, 0, 0, 1, 0, 0, 0, 0]
    assert match.status() == "Taken back. Your move: you are X."


def test_changing_sides_hands_the_move_to_the_agent():
    match = play.Match(lines.tictactoe(), Scripted(0, 8))
    clicked(match, 4)
    match.do("swap")
    assert match.past == [4, 0, 8] and match.status() == "The agent plays C1. Your move: you are O."


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (RuntimeError("no\n weights"), "The agent failed: RuntimeError: no weights"),
        (KeyboardInterrupt(), "The agent failed: KeyboardInterrupt"),
        (4, "The agent failed: GameError: b2 is not legal here"),
    ],
)
def test_an_agent_that_fails_leaves_a_board_to_go_on_with(fault, says):
    match = play.Match(lines.tictactoe(), Scripted(fault, 0))
    assert clicked(match, 4).startswith(says)
    assert match.status().endswith("Take your move back, or start a new game.") and not match.busy
    assert clicked(match, 8).startswith("It is the agent's turn.") and match.past == [4]
    match.do("undo")
    assert match.past == [] and clicked(match, 8) == "The agent plays A3. Your move: you are X."


def test_a_search_that_makes_no_sense_fails_as_the_agent_does():
    match = play.Match(lines.tictactoe(), Scripted(0, seen=[(0, 1)]))
    assert clicked(match, 4).startswith("The agent failed: IndexError") and match.past == [4] and match.view()["svg"]


def test_an_agent_may_resign_and_pass():
    game = go(9)
    match = play.Match(game, Scripted(81, -1))
    assert match.view()["buttons"] == [["Pass", 81, True]]
    assert clicked(match, 0) == "The agent passes. Your move: you are Black."
    assert clicked(match, 1) == "The agent resigns. You win."
    assert clicked(match, 2).startswith("The game is over") and match.past == [0, 81, 1]


def test_the_search_is_shown_to_who_is_to_move():
    seen = [(0, 6, 0.5, 0.4, [0, 8]), (1, 2, 0.1, 0.2, [1])]
    match = play.Match(lines.tictactoe(), Scripted(0, seen=seen))
    clicked(match, 4)
    view = match.view()
    assert {"75 %", "25 %", "O 75 %"} <= set(texts(parsed(view["svg"])))
    assert view["search"] == "scripted: 8 visits before its move; it expects A3 C1."
    match.show_search = False
    assert match.view()["search"] == "" and not texts(parsed(match.view()["svg"]))


def test_the_same_seed_asks_for_the_same_moves():
    asked = []
    for seed in (0, 0, 1):
        player = Scripted(0, 1)
        clicked(play.Match(lines.tictactoe(), player, seed=seed), 4, 8)
        asked.append(player.asked)
    assert asked[0] == asked[1] != asked[2] and [past for _, past in asked[0]] == [[4], [4, 0, 8]]
    assert asked[0][0][0] != asked[0][1][0]


def test_cells_have_names():
    match = play.Match(lines.connect4(), Scripted(0))
    clicked(match, 3)
    assert re.findall(r'aria-label="(column \d, \d free)"', match.view()["svg"])[3] == "column 4, 5 free"
    names = re.findall(r'data-action="\d+" aria-label="([^"]+)"', play.Match(go(9), Scripted()).view()["svg"])
    assert len(names) == 81 and names[8] == "J9, empty"
    match = play.Match(lines.tictactoe(), Scripted(0))
    clicked(match, 4)
    assert {"A3, O", "B2, X", "C1, empty"} <= set(re.findall(r'aria-label="([^"]+)"', match.view()["svg"]))


# ---------------------------------------------------------------------------------------------------------------------
# The widget


def test_the_widget_shows_what_clicks_do_and_stands_still_on_the_page():
    one = play.against(lines.tictactoe(), Scripted(0, 1))
    other = play.against(lines.tictactoe(), Scripted(8), begin="agent")
    views = []
    one.observe(lambda change: views.append(change["new"]), "view")
    message = {"what": "play", "action": 4, "version": one.view["version"]}
    one._handle_custom_msg(message, [])
    assert [view["status"] for view in views] == [
        "The agent is thinking.",
        "The agent plays A3. Your move: you are X.",
    ]
    assert [view["busy"] for view in views] == [True, False]
    one._handle_custom_msg(message, [])  # a second click, on a board that is gone
    assert one.match.past == [4, 0] and other.match.past == [8] and len(views) == 2
    assert other.view["status"] == "The agent plays C1. Your move: you are O."
    data, _ = one._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    figure = parsed(data["text/html"])
    assert figure.find(f".//{XML}svg").get("aria-label") == "The board of tictactoe after 2 moves."
    assert "zoo-cell" not in data["text/html"] and data["text/plain"] == "A board to play tictactoe against scripted"


def test_a_missing_anywidget_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    play._widget.cache_clear()
    with pytest.raises(ImportError, match="pip install anywidget"):
        play.against(lines.tictactoe(), Scripted())


PAGE = """<!doctype html><style>%s</style><div id="one"></div><div id="two"></div><script type="module">
%s
window.sent = [];
window.models = ["one", "two"].map((id) => {
  let view = %s, draw;
  const model = {
    get: () => view,
    set: (name, value) => { view = value; draw(); },
    on: (name, f) => { draw = f; },
    off: () => {},
    send: (message) => sent.push([id, message]),
  };
  render({ model, el: document.getElementById(id) });
  return model;
});
</script>"""


def test_in_a_browser_cells_answer_to_pointer_and_keys():
    from tools.build import find_chromium

    if not (path := find_chromium()):
        pytest.skip("no Chromium found")
    from playwright.sync_api import sync_playwright

    match = play.Match(lines.tictactoe(), Scripted(0))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 390, "height": 900})
        asked, wrong = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.set_content(
            PAGE % (play._CSS, play._ESM.replace("export default { render };", ""), json.dumps(match.view()))
        )
        one = page.locator("#one")
        assert one.get_by_role("status").inner_text() == "Your move: you are X."
        one.get_by_role("button", name="B2, empty").click()
        for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Enter"):  # the second stays in its row
            page.keyboard.press(key)
        one.get_by_role("button", name="Undo").click()
        sent = page.evaluate("sent")
        assert [(who, m["what"], m["action"]) for who, m in sent] == [
            ("one", "play", 4),
            ("one", "play", 8),
            ("one", "undo", None),
        ]
        assert {m["version"] for _, m in sent} == {match.version}
        one.locator("[tabindex='0']").focus()
        clicked(match, 4)
        page.evaluate("view => models[0].set('view', view)", match.view())
        assert one.get_by_role("status").inner_text() == "The agent plays A3. Your move: you are X."
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "C1, empty"  # the focus stays
        page.evaluate("view => models[0].set('view', {...view, busy: true})", match.view())
        one.get_by_role("button", name="C1, empty").click()
        assert len(page.evaluate("sent")) == 3  # nobody is asked while the agent thinks
        page.locator("#two").get_by_role("button", name="New game").click()
        assert page.evaluate("sent.at(-1)[0]") == "two"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390 and not asked and not wrong
        browser.close()
