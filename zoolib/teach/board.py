"""Boards of games for two, drawn: stills for the page, and what `play` puts under the mouse.

The game comes in as an argument; zoolib.games.game.Game says what it can do.  The first H·W numbers of its state are
the cells, row by row from the top: 0 empty, 1 of who began, 2 of the other.  An action is a cell; where there are as
many actions as columns, a column; the last of H·W + 1 is a pass.  Any other game is drawn too.
"""

import html
import re

import numpy as np
from IPython.display import HTML, display

_SIDES = {"stones": ("Black", "White"), "discs": ("Red", "Yellow"), "grid": ("X", "O")}
_FILLS = {"stones": ("#1b1f24", "#fbfaf7"), "discs": ("#e5533d", "#ffd84d"), "grid": ("#0072b2", "none")}
_BLUE, _VERMILLION = "var(--zoo-blue-text, #0072b2)", "var(--zoo-vermillion-text, #d55e00)"
_BOLD = 'font-weight="700"'


class Layout:
    """What a position looks like, and where things stand in the drawing: cells of `cell` units, [H, W]."""

    def __init__(self, game, state):
        self.game, (self.height, self.width) = game, game.shape[1:]
        count = self.height * self.width
        if len(state) < count:
            raise ValueError(f"a state of {game.name} has {len(state)} numbers, too few for {count} cells")
        self.cells = [int(c) for c in state[:count]]
        self.by_column = self.height > 1 and game.actions == self.width
        self.by_cell = not self.by_column and game.actions - count in (0, 1)
        kind = game.name.rstrip("0123456789-")
        self.style = "discs" if kind == "connect" else "stones" if kind in ("go", "gomoku") else "grid"
        self.sides, self.cell = _SIDES[self.style], 40 if self.width > 5 else 64
        self.named = self.by_cell and count > 9 and re.fullmatch("[A-Za-z][0-9]+", game.move_name(0))
        self.pad = {"stones": 20, "discs": 7, "grid": 24 if self.named else 3}[self.style]
        self.wide, self.high = self.width * self.cell + 2 * self.pad, self.height * self.cell + 2 * self.pad

    def centre(self, cell):
        row, column = divmod(cell, self.width)
        return self.pad + (column + 0.5) * self.cell, self.pad + (row + 0.5) * self.cell

    def place(self, action):
        """The cell of an action, in a column that of its top stone; None where there is none."""
        if self.by_column and action is not None:
            return next((i for i in range(action, len(self.cells), self.width) if self.cells[i]), None)
        return action if self.by_cell and action is not None and action < len(self.cells) else None

    def name(self, action):
        name = self.game.move_name(action)
        return f"column {name}" if self.by_column else name.upper() if self.place(action) is not None else name

    def ink(self, cell):
        """A colour that reads on a cell."""
        dark = self.cells[cell] == 1 or (self.style == "discs" and self.cells[cell] == 0)
        return "currentColor" if self.style == "grid" else "#ffffff" if dark else "#1b1f24"

    def box(self, cell, side, fill="none", more=""):
        x, y = self.centre(cell)
        return rect(x - side / 2, y - side / 2, side, side, fill, more)

    def circle(self, cell, r, fill="none", more=""):
        x, y = self.centre(cell)
        return f'<circle cx="{x:g}" cy="{y:g}" r="{r * self.cell:g}" fill="{fill}" {more}/>'


def _text(x, y, said, size=13, fill="currentColor", more="", anchor="middle"):
    more = f'font-size="{size:g}" fill="{fill}" text-anchor="{anchor}" {more}'
    return f'<text x="{x:g}" y="{y + 0.36 * size:g}" {more}>{html.escape(str(said), quote=False)}</text>'


def rect(x, y, wide, high, fill="none", more=""):
    return f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{high:g}" fill="{fill}" {more}/>'


def _path(d, stroke, width, more=""):
    return f'<path d="{d}" fill="none" stroke="{stroke}" stroke-width="{width:g}" stroke-linecap="round" {more}/>'


def _percent(share):
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _ground(at):
    """The empty board, with the names of its rows and columns."""
    c, p, high, wide = at.cell, at.pad, at.high, at.wide
    if at.style == "discs":
        parts = [rect(0, 0, wide, high, "#0b3c5d", 'rx="12"')]
        parts += [at.circle(i, 0.4, "#062538") for i in range(len(at.cells))]
    else:  # lines through the cells for stones, around them on a grid; a small one has no rim, as on paper
        stones, paper = at.style == "stones", max(at.width, at.height) <= 3
        skip, edge = 0 if stones or not paper else 1, p + c / 2 if stones else p
        d = "".join(f"M{edge + i * c:g} {edge:g}V{high - edge:g}" for i in range(skip, at.width + 1 - skip - stones))
        d += "".join(f"M{edge:g} {edge + i * c:g}H{wide - edge:g}" for i in range(skip, at.height + 1 - skip - stones))
        parts = [_path(d, "currentColor", 2.5 if paper else 1, 'stroke-opacity="0.45"')]
        if stones:
            parts = [rect(0, 0, wide, high, "#e6c07b", 'rx="6"'), _path(d, "#6b4f1d", 1)]
            parts += [at.circle(i, 0.075, "#6b4f1d") for i in _hoshi(at.height, at.width)]
    if at.by_column:
        parts += [_text(at.centre(i)[0], high + 12, at.game.move_name(i)) for i in range(at.width)]
    elif at.named:
        ink, middle = "#4a3713" if at.style == "stones" else "currentColor", (p + 3) / 2
        size = 12 if at.width < 14 else 16
        for i in range(at.width):
            parts.append(_text(at.centre(i)[0], high - middle, at.game.move_name(i)[0].upper(), size, ink))
        for i in range(0, len(at.cells), at.width):
            parts.append(_text(middle, at.centre(i)[1], at.game.move_name(i)[1:], size, ink))
    return parts


def _hoshi(height, width):
    """The star points of a square board of odd size."""
    if height != width or height < 7 or height % 2 == 0:
        return []
    edge, middle = 2 if height < 13 else 3, height // 2
    lines = [edge, height - 1 - edge] + [middle] * (height >= 15)
    return [r * width + c for r in lines for c in lines] + [middle * width + middle]


def _piece(at, cell):
    (x, y), c, held = at.centre(cell), at.cell, at.cells[cell]
    if at.style != "grid" and held in (1, 2):
        fill = _FILLS[at.style][held - 1]
        if at.style == "discs":  # a ring tells yellow from red without colour
            ring = at.circle(cell, 0.24, more='stroke="#8a6500" stroke-width="2.5"') if held == 2 else ""
            return at.circle(cell, 0.38, fill, f'stroke="{("#ff9a86", "#c79a00")[held - 1]}" stroke-width="1.5"') + ring
        shade = f'<circle cx="{x + 1:g}" cy="{y + 2:g}" r="{0.46 * c:g}" fill-opacity="0.28"/>'
        stone = at.circle(cell, 0.46, fill, f'stroke="{("#000000", "#8d8676")[held - 1]}"')
        shine = f'transform="translate({x - 0.13 * c:g} {y - 0.19 * c:g}) rotate(-35)" fill-opacity="0.5"'
        shine = f'<ellipse rx="{0.17 * c:g}" ry="{0.1 * c:g}" fill="{("#6a747e", "#ffffff")[held - 1]}" {shine}/>'
        return shade + stone + shine
    if held == 1:
        a, b = 0.27 * c, 0.54 * c
        return _path(f"M{x - a:g} {y - a:g}l{b:g} {b:g}M{x + a:g} {y - a:g}l{-b:g} {b:g}", _BLUE, 0.1 * c)
    if held == 2:
        return at.circle(cell, 0.3, more=f'stroke="{_VERMILLION}" stroke-width="{0.1 * c:g}"')
    return _text(x, y, held, 0.5 * c)


def _searched(at, visits):
    """Shares of visits on the cells, or as bars above the columns; and three without a place, in words."""
    visits = np.asarray(visits, float)
    if visits.shape != (at.game.actions,):
        raise ValueError(f"visits must be [{at.game.actions}], a number an action; they are {list(visits.shape)}")
    share, parts, rest = visits / max(visits.sum(), 1e-9), [], []
    order = np.argsort(-share, kind="stable").tolist()
    for action in order:
        s, best, cell, size = share[action], action == order[0], at.place(action), 12 if at.cell == 40 else 16
        bold, tall = _BOLD if best else "", s / share.max() if share.max() else 0
        if s < 0.01:
            break
        if at.by_column:
            x, fill = at.centre(action)[0], _BLUE if best else "currentColor"
            parts.append(rect(x - 9, -3 - 30 * tall, 18, 30 * tall, fill, "" if best else 'fill-opacity="0.4"'))
            parts.append(_text(x, -12 - 30 * tall, _percent(s), 14 if best else 12, more=bold))
        elif cell is None:
            rest += [f"{at.name(action)} {_percent(s)}"] if len(rest) < 3 else []
        else:
            (x, y), ink = at.centre(cell), at.ink(cell)
            if at.style == "grid":
                rim = f'stroke="{_BLUE}" stroke-width="2.5"' if best else ""
                parts.append(at.box(cell, 0.84 * at.cell, _BLUE, f'rx="6" fill-opacity="{0.08 + 0.35 * s:.2f}" {rim}'))
                y += 0.33 * at.cell * (at.cells[cell] == 1)  # between the arms of an X; an O has room inside
                size *= 0.65 if at.cells[cell] else 1
            elif at.cells[cell]:
                parts += [at.circle(cell, 0.49, more='stroke="#0072b2" stroke-width="3"')] if best else []
            elif best:
                ink = "#ffffff"
                parts.append(at.circle(cell, 0.43, "#0072b2"))
            else:
                parts.append(at.circle(cell, 0.43, "#ffffff", f'fill-opacity="{0.3 + 0.6 * tall:.2f}"'))
            parts.append(_text(x, y, _percent(s), size, ink, bold))
    return parts, rest


def _owned(at, ownership):
    owner, parts = np.asarray(ownership, float), []
    if owner.shape != (at.height, at.width):
        raise ValueError(f"ownership must be [{at.height}, {at.width}]; it is {list(owner.shape)}")
    for i, o in enumerate(owner.ravel().clip(-1, 1)):
        if abs(o) > 0.05:
            fill, edge = _FILLS["stones"][:: 1 if o > 0 else -1]
            more = f'class="zoo-owner" stroke="{edge}" stroke-width="0.8"'
            parts.append(at.box(i, 0.36 * at.cell * abs(o) ** 0.5, fill, more))
    return parts


def _value(at, value, to_play):
    """A thin bar beside the board, from below for who began, and who is ahead in words."""
    first = (1 + float(np.clip(value, -1, 1)) * (1 - 2 * to_play)) / 2
    ahead = f"{at.sides[first < 0.5]} {_percent(max(first, 1 - first))}" if abs(first - 0.5) > 0.005 else "Even"
    x, high, (own, other) = at.wide + 10, at.high - 1, _FILLS[at.style]
    return [
        rect(x, 0.5, 9, high, other) + rect(x, 0.5 + (1 - first) * high, 9, first * high, own),
        rect(x, 0.5, 9, high, "none", 'stroke="currentColor" stroke-opacity="0.55"'),
        _path(f"M{x - 4} {at.high / 2:g}h4m9 0h4", "currentColor", 1.5),
        _text(x + 9, at.high + (34 if at.by_column else 16), ahead, 14, more=_BOLD, anchor="end"),
    ]


def _latest(at, cell, crowded):
    """A mark on the stone that was just played."""
    (x, y), c, ring = at.centre(cell), at.cell, f'class="zoo-last" stroke="{at.ink(cell)}" stroke-width="2"'
    if at.style == "grid":
        corner = f"M{x - 0.42 * c:g} {y - 0.42 * c:g}h{0.2 * c:g}l{-0.2 * c:g} {0.2 * c:g}z"
        return f'<path class="zoo-last" d="{corner}" fill="currentColor"/>'
    if at.style == "discs":
        return at.circle(cell, 0.1, at.ink(cell), ring)
    return at.circle(cell, 0.37 if crowded else 0.2, more=ring)


def _line(at):
    """A stroke through the first line that has won, in a game where `connect` in a row win."""
    connect = getattr(at.game, "options", {}).get("connect", 0)
    board = np.array(at.cells).reshape(at.height, at.width)
    for row, column in np.argwhere(board) if connect else ():
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            rows, columns = row + down * np.arange(connect), column + right * np.arange(connect)
            inside = rows[-1] < at.height and 0 <= columns[-1] < at.width
            if inside and (board[rows, columns] == board[row, column]).all():
                (x, y), (x2, y2) = (at.centre(int(rows[i] * at.width + columns[i])) for i in (0, -1))
                d = f"M{x:g} {y:g}L{x2:g} {y2:g}"
                return [_path(d, "#ffffff", 9), _path(d, "#1b1f24", 4, 'class="zoo-line"')]
    return []


def svg(game, state, *, visits=None, value=None, last=None, marks=None, ownership=None, size=None, alt="", _over=""):
    """The position as an SVG; it shrinks with the page, and reads in light, in dark and in grey.

    state: int64 [S].  visits: a search's, [actions], shown as shares in percent.  value: the position's to the player
    to move, in [-1, 1].  last: the action just played.  marks: cell -> short text.  ownership: [H, W] in [-1, 1], 1
    where a point is of who began.  size: width in CSS pixels.  alt: what it shows, for a reader who cannot see it;
    without one, a screen reader passes it by.
    Raises ValueError for visits or ownership of another shape, and for a state of fewer numbers than cells.
    """
    at = Layout(game, state)
    pieces = [_piece(at, i) for i, held in enumerate(at.cells) if held]
    owned = [] if ownership is None else _owned(at, ownership)
    searched, rest = ([], []) if visits is None else _searched(at, visits)
    parts = _ground(at) + (searched + pieces if at.style == "grid" else pieces + searched) + owned
    if (cell := at.place(last)) is not None and at.cells[cell]:
        parts.append(_latest(at, cell, visits is not None or ownership is not None or cell in (marks or {})))
    elif last is not None:
        rest = [f"last move: {at.name(last)}", *rest]
    for cell, said in (marks or {}).items():
        empty = at.style == "stones" and not at.cells[cell]
        parts += [at.circle(cell, 0.32, "#e6c07b")] if empty else []
        parts.append(_text(*at.centre(cell), said, 15 if at.cell == 40 else 20, at.ink(cell), _BOLD))
    parts += _line(at)
    if value is not None:
        parts += _value(at, value, game.to_play(state))
    low = at.high + (20 if at.by_column else 0)
    if rest:
        parts.append(_text(0, low + 16, ", ".join(rest), anchor="start"))
    top = 54 if visits is not None and at.by_column else 1
    wide, high = at.wide + (25 if value is not None else 2), top + low + (26 if rest or value is not None else 1)
    kind = f'role="group" aria-label="{html.escape(game.name)}"' if _over else 'aria-hidden="true"'
    kind = f'role="img" aria-label="{html.escape(alt)}"' if alt else kind
    style = "max-width:100%;height:auto;display:block;font-family:var(--zoo-sans, system-ui, sans-serif)"
    shape = f'viewBox="-1 {-top} {wide:g} {high:g}" width="{size or min(wide, 640):g}" style="{style}" {kind}'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {shape}>{"".join(parts)}{_over}</svg>'


def analysed(game, seen):
    """What a player's search has seen, as `svg`'s visits and value: `show(..., **analysed(game, player.analysis()))`.

    seen: the move that is played comes first, and leads the visits, also where another has as many.  A player without
    a search has seen nothing, and nothing is drawn.
    """
    if not seen:
        return {}
    visits = np.bincount([s[0] for s in seen], [s[1] for s in seen], game.actions)
    visits[seen[0][0]] += 1e-6
    return {"visits": visits, "value": seen[0][2]}


def figure(inside, caption):
    caption = html.escape(caption, quote=False)
    inside = f'<div style="display:grid;justify-items:center">{inside}</div>'
    return f'<figure class="zoo-figure zoo-board">{inside}<figcaption>{caption}</figcaption></figure>'


def _need(alt):
    if not alt.strip():
        raise ValueError("alt is empty: say in words what the board shows")


def show(game, state, caption, alt, **same):
    """Display a position as a figure.

    caption: a sentence or two under it.  alt: what the board shows, for a reader who cannot see it.  same: see `svg`.
    Raises ValueError for an empty alt.
    """
    _need(alt)
    display(HTML(figure(svg(game, state, alt=alt, **same), caption)))


def strip(game, states, labels, caption, alt, *, size=150, each=None):
    """Display several positions side by side; they wrap on a narrow page.

    labels: a short text for each state.  size: a board's width in CSS pixels.  each: for each state a dict of `svg`'s
    options.  caption and alt: see `show`.  Raises ValueError for an empty alt, and where these are not as many.
    """
    _need(alt)
    each = [{} for _ in states] if each is None else each
    if not len(states) == len(labels) == len(each) > 0:
        raise ValueError(
            f"one label a board, at least one: got {len(states)} states, {len(labels)} labels, {len(each)} dicts"
        )
    boards = [
        f'<div style="width:{size}px">{svg(game, state, size=size, **options)}<div style="margin-top:.3em">'
        f"{html.escape(label, quote=False)}</div></div>"
        for state, label, options in zip(states, labels, each, strict=True)
    ]
    row = (
        "display:flex;flex-wrap:wrap;gap:1.2em;align-items:flex-start;justify-content:center;"
        "font:.9rem var(--zoo-sans, system-ui, sans-serif)"
    )
    group = f'<div role="group" aria-label="{html.escape(alt)}" style="{row}">{"".join(boards)}</div>'
    display(HTML(figure(group, caption)))
