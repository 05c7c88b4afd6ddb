"""The process that runs a student's code for `zoolib.teach.grade`, and the plain data that crosses to it.

``python -m zoolib.teach.child REQUEST`` reads the notebook's code cells and the drawn arguments from a JSON file
and writes a JSON line for each answer to stdout.  It never sees an expected answer.  The other side reads those
lines as data: no pickle, no code.
"""

import ast
import base64
import json
import linecache
import os
import re
import symtable
import sys

import numpy as np

from zoolib.teach.check import Foreign, Outcome, call, one_line

MEMORY = 4 * 2**30  # bytes a student's code may allocate, where the system can limit it

# --- data that crosses ------------------------------------------------------------------------------------


def pack(value):
    """``value`` (plain data, tensors included) as JSON data; raises TypeError for anything else."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Foreign):
        return ["foreign", str(value.what)]
    if isinstance(value, list | tuple):
        return [type(value).__name__, [pack(item) for item in value]]
    if isinstance(value, dict):
        return ["dict", [[pack(key), pack(item)] for key, item in value.items()]]
    torch = sys.modules.get("torch")
    kind = "tensor" if torch is not None and isinstance(value, torch.Tensor) else "array"
    if kind == "array" and not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"{type(value).__name__} is not plain data")
    array = np.ascontiguousarray(value.detach().cpu().numpy() if kind == "tensor" else value)
    if isinstance(value, np.generic):
        kind = "scalar"
    if array.dtype.kind not in "biufc":
        raise TypeError(f"an array of dtype {array.dtype} is not plain data")
    return [kind, array.dtype.str, list(np.shape(value)), base64.b64encode(array.tobytes()).decode()]


def unpack(data, depth: int = 0):
    """The value that `pack` wrote; raises ValueError for anything that it cannot have written."""
    if data is None or type(data) in (bool, int, float, str):
        return data
    if depth > 25 or not isinstance(data, list) or not data:
        raise ValueError("not packed data")
    kind, *rest = data
    if kind in ("list", "tuple", "dict") and len(rest) == 1 and isinstance(rest[0], list):
        if kind == "dict":
            return {unpack(key, depth + 1): unpack(item, depth + 1) for key, item in rest[0]}
        items = [unpack(item, depth + 1) for item in rest[0]]
        return items if kind == "list" else tuple(items)
    if kind == "foreign" and len(rest) == 1:
        return Foreign(one_line(str(rest[0]), 80))
    if kind in ("array", "scalar", "tensor") and len(rest) == 3:
        dtype, shape, text = rest
        if not re.fullmatch(r"[<>|=][biufc]\d{1,2}", str(dtype)):
            raise ValueError(f"dtype {dtype!r}")
        array = np.frombuffer(base64.b64decode(text), dtype=np.dtype(dtype)).reshape(shape).copy()
        if kind == "tensor":
            import torch

            return torch.from_numpy(array)
        return array[()] if kind == "scalar" else array
    raise ValueError("not packed data")


# --- which statements a function needs --------------------------------------------------------------------


def parse(source: str, name: str) -> list[ast.stmt]:
    """The statements of a notebook cell; IPython's ``%`` and ``!`` lines become calls that nothing needs."""
    try:
        return ast.parse(source, name).body
    except (SyntaxError, ValueError):
        from IPython.core.inputtransformer2 import TransformerManager

        lines = source.split("\n")
        if lines[0].startswith("%%"):  # a cell magic such as %%time: what it wraps is still the student's code
            lines[0] = "pass"
        return ast.parse(TransformerManager().transform_cell("\n".join(lines)), name).body


def binds_and_uses(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Global names that a top-level statement binds or changes, and those that it may read."""
    binds, uses = set(), set()

    def visit(table, top):
        for symbol in table.get_symbols():
            if top and (symbol.is_assigned() or symbol.is_imported()):
                binds.add(symbol.get_name())
            if symbol.is_referenced() and (top or symbol.is_global()):
                uses.add(symbol.get_name())
        for child in table.get_children():
            visit(child, False)

    try:
        visit(symtable.symtable(ast.unparse(statement), "<cell>", "exec"), True)
    except (SyntaxError, ValueError, RecursionError):  # such as a `return` outside a function
        return set(), set()
    # `table[0] = 1`, `table.x = 1` and `table.update(...)` change a name without binding it.
    for node in ast.walk(statement):
        target = None
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            target = node
        elif isinstance(statement, ast.Expr) and node is statement.value and isinstance(node, ast.Call):
            target = node.func if isinstance(node.func, ast.Attribute) else None
        while isinstance(target, ast.Attribute | ast.Subscript):
            target = target.value
        if isinstance(target, ast.Name) and not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            binds.add(target.id)
    return binds, uses


def needed(statements: list[ast.stmt], name: str) -> list[ast.stmt]:
    """The statements that the value of ``name`` depends on, in order.

    Training cells, plots and ``%pip`` lines are left out unless the function reads what they make.
    """
    facts = [binds_and_uses(statement) for statement in statements]
    imported = {
        alias.asname or alias.name.partition(".")[0]
        for statement in statements
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for alias in statement.names
    }
    wanted, taken = {name}, set()
    while True:
        more = set()
        for i, (statement, (binds, _)) in enumerate(zip(statements, facts, strict=True)):
            everything = isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*"
            # A call such as `torch.manual_seed(0)` or `dqn.train(...)` does not change what was imported.
            changed = binds - imported if isinstance(statement, ast.Expr) else binds
            if i not in taken and (everything or changed & wanted):
                more.add(i)
        if not more:
            return [statements[i] for i in sorted(taken)]
        taken |= more
        wanted |= set().union(*(facts[i][1] for i in more))


# --- running ----------------------------------------------------------------------------------------------


def define(cells: list[dict], function: str):
    """Run what ``function`` needs from the cells (``{"name", "source"}``).

    Returns the function, or None, and the first thing that went wrong on the way ("" for nothing).
    """
    statements, broken = [], ""
    for cell in cells:
        name, source = f"<{cell['name']}>", cell["source"]
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)  # reasons quote its lines
        try:
            for statement in parse(source, name):
                statement.cell = name
                statements.append(statement)
        except Exception as error:
            if re.search(rf"def\s+{function}\b", source):
                broken = f"its cell is not valid Python: {one_line(str(error))}"
    namespace: dict = {"__name__": "__main__"}
    for statement in needed(statements, function):
        try:
            exec(compile(ast.Module([statement], []), statement.cell, "exec"), namespace)
        except (Exception, SystemExit) as error:
            broken = broken or f"{type(error).__name__}: {one_line(str(error))}"
    answer = namespace.get(function)
    return answer if callable(answer) else None, broken


def main(request: str) -> None:
    """Answer every case of every exercise in the request file, one JSON line each on stdout."""
    with open(request, encoding="utf-8") as file:
        asked = json.load(file)
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    except (ImportError, ValueError, OSError):  # Windows has no such limit, macOS refuses some
        pass
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # whatever a student prints says nothing about points
        os.dup2(nowhere, stream)

    def report(*line):
        out.write(json.dumps(line) + "\n")
        out.flush()

    for exercise in asked:
        report(exercise["name"], "start")
        function, broken = define(exercise["cells"], exercise["function"])
        for i, packed in enumerate(exercise["args"]):
            if function is None:
                detail = "is not defined in the notebook" + (f": {broken}" if broken else "")
                outcome = Outcome(None, "Undefined", detail)
            else:
                outcome = call(function, unpack(packed))
            try:
                report(exercise["name"], i, pack(outcome.value), outcome.error, outcome.detail)
            except (TypeError, ValueError) as error:
                report(exercise["name"], i, ["foreign", f"a value that cannot be read: {error}"], "", "")


if __name__ == "__main__":
    main(*sys.argv[1:])
