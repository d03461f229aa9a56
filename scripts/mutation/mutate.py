"""Find the places where a module can be made wrong on purpose, and make it wrong at one of them.

A mutant is the module with one small fault of the kinds that people make: a comparison that is off
by the equal sign, a number that is off by one, `and` for `or`, a condition turned round, a
statement left out, a function that returns None. Texts, annotations and decorators stay.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

_COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_IGNORED_KEYWORDS = {"strict", "encoding", "newline", "stacklevel", "description", "title"}
_REMOVABLE = (ast.AugAssign, ast.Raise, ast.Continue, ast.Break)


@dataclass(frozen=True)
class Mutation:
    """One fault: the text between two offsets of a module is replaced.

    Attributes:
        kind: What is done, in a word or two.
        start: Offset of the first byte that is replaced, in the module's UTF-8.
        end: Offset after the last one.
        text: What stands there instead.
        line: Line number of the place, from 1.
    """

    kind: str
    start: int
    end: int
    text: str
    line: int

    def apply(self, source: str) -> str:
        """Return the module with the fault in it."""
        content = source.encode()
        return (content[: self.start] + self.text.encode() + content[self.end :]).decode()


def find_mutations(source: str) -> list[Mutation]:
    """List every mutation of a module, in the order of its text."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    return sorted(finder.found, key=lambda one: (one.start, one.end, one.kind, one.text))


class _Finder(ast.NodeVisitor):
    def __init__(self, source: str) -> None:
        self.found: list[Mutation] = []
        lines = source.encode().splitlines(keepends=True)
        self._starts = [sum(map(len, lines[:number])) for number in range(len(lines) + 1)]

    def _add(self, kind: str, node: ast.expr | ast.stmt, text: str) -> None:
        start = self._starts[node.lineno - 1] + node.col_offset
        end = self._starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        self.found.append(Mutation(kind, start, end, text, node.lineno))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Leave out decorators, annotations and the docstring."""
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Leave out decorators and bases."""
        for statement in node.body:
            self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Leave out the annotation."""
        if node.value is not None:
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        """Turn the condition round, unless it only guards imports for types."""
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self._negate(node.test)
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """Turn the condition round."""
        self._negate(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        """Turn the condition round."""
        self._negate(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Turn each filter round."""
        for test in node.ifs:
            self._negate(test)
        self.generic_visit(node)

    def _negate(self, test: ast.expr) -> None:
        if not isinstance(test, ast.Compare) or len(test.ops) > 1:
            self._add("negated condition", test, f"(not ({ast.unparse(test)}))")

    def visit_Compare(self, node: ast.Compare) -> None:
        """Flip each comparison of a chain."""
        for number, operator in enumerate(node.ops):
            operators = list(node.ops)
            operators[number] = _COMPARISONS[type(operator)]()
            flipped = ast.Compare(node.left, operators, node.comparators)
            self._add("comparison flipped", node, f"({ast.unparse(flipped)})")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Put `or` for `and`, and the other way round."""
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self._add("and/or swapped", node, f"({ast.unparse(ast.BoolOp(other, node.values))})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Put another operator, except where types are joined or texts are put together."""
        other = _ARITHMETIC.get(type(node.op))
        texts = any(isinstance(one, ast.JoinedStr | ast.List) for one in (node.left, node.right))
        if other is not None and not texts:
            changed = ast.BinOp(node.left, other(), node.right)
            self._add("operator swapped", node, f"({ast.unparse(changed)})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Leave out `not` and the minus sign."""
        if isinstance(node.op, ast.Not | ast.USub) and not isinstance(node.operand, ast.Constant):
            self._add("sign or not removed", node, f"({ast.unparse(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Turn a truth value round; add one to a number, or make one into nought."""
        value = node.value
        if isinstance(value, bool):
            self._add("constant changed", node, str(not value))
        elif isinstance(value, int | float):
            self._add("constant changed", node, repr(value + 1 if value != 1 else 0))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave texts alone."""

    def visit_Call(self, node: ast.Call) -> None:
        """Put `max` for `min` and so on; leave options alone that change nothing in a result."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in _CALLS:
            self._add("function swapped", node.func, _CALLS[name])
        node.keywords = [one for one in node.keywords if one.arg not in _IGNORED_KEYWORDS]
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Leave the error out; its message stays as it is."""
        self._add("statement removed", node, "pass")

    def visit_Return(self, node: ast.Return) -> None:
        """Return nothing."""
        if node.value is not None and not _is_none(node.value):
            self._add("returns None", node, "return None")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Leave out a call; docstrings are no statements."""
        if isinstance(node.value, ast.Call):
            self._add("statement removed", node, "pass")
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Leave out what is written into an object; a name that is missing is found anyway."""
        if all(isinstance(goal, ast.Attribute | ast.Subscript) for goal in node.targets):
            self._add("statement removed", node, "pass")
        self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> None:
        """Go on; count what can simply be left out."""
        if isinstance(node, _REMOVABLE) and not isinstance(node, ast.Raise):
            self._add("statement removed", node, "pass")
        super().generic_visit(node)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def show_difference(source: str, mutation: Mutation) -> tuple[str, str]:
    """Show the lines before and after, without what they have in common, each in one line.

    The two together name a mutant in the list of those examined, also after lines have moved.
    """
    before, after = source.splitlines(), mutation.apply(source).splitlines()
    while before and after and before[0] == after[0]:
        del before[0], after[0]
    while before and after and before[-1] == after[-1]:
        del before[-1], after[-1]
    return _fold(before), _fold(after)


def _fold(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)
