"""nbgrader's autograder with grades from the instructor's side.

``nbgrader_config.py`` (written by ``make student``) puts `Grade` in the place of nbgrader's `Execute`.  Only an
instructor's machine imports this module: it needs the extra ``teach``.
"""

from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute
from traitlets import Float, Integer

from zoolib.teach import grade


class Grade(Execute):
    """`Execute`, except that check cells get the points and the reason that `zoolib.teach.grade` finds.

    A notebook whose graded code cells are all check cells is not executed at all: no training, no time limit to
    tune.  In any other notebook the remaining cells run as ever.
    """

    seed = Integer(0, help="Draws the cases; choose one that the students do not know.").tag(config=True)
    exercise_timeout = Float(grade.TIMEOUT, help="Seconds that one exercise may take.").tag(config=True)

    def preprocess(self, nb, resources, **kwargs):
        graded = [
            cell
            for cell in nb.cells
            if cell.cell_type == "code"
            and cell.metadata.get("nbgrader", {}).get("grade")
            and not cell.metadata.nbgrader.get("solution")
        ]
        checks = {}  # grade_id -> exercise
        for cell in graded:
            name = grade.exercise_of(cell)
            if name:
                checks[cell.metadata.nbgrader.grade_id] = name
        if len(checks) < len(graded):
            nb, resources = super().preprocess(nb, resources, **kwargs)
        rows = {row.exercise: row for row in self._rows(nb, list(checks.values()))}
        for cell in nb.cells:
            name = checks.get(cell.metadata.get("nbgrader", {}).get("grade_id"))
            if name and cell.cell_type == "code":
                row = rows[name]
                # The cell's own points, where an instructor weighs the exercise differently in this course.
                points = row.points / row.possible * cell.metadata.nbgrader.get("points", row.possible)
                cell.outputs = [
                    new_output("stream", name="stdout", text=row.reason + "\n"),
                    new_output("execute_result", {"text/plain": repr(round(points, 4))}, execution_count=1),
                ]
                cell.execution_count = 1
        return nb, resources

    def _rows(self, nb, names):
        return grade.grade_cells(nb.cells, list(dict.fromkeys(names)), self.seed, self.exercise_timeout)
